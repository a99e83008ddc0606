"""The forms by which people start flows: what they explain, offer and refuse.

The Prefect UI, `prefect deployment run` and the API all hold a run's parameters to the schema of
its deployment, by the function that is used here (`prefect.utilities.schema_tools`).
"""

import importlib
import inspect
from pathlib import Path

import pytest
import yaml
from prefect.utilities.schema_tools.validation import ValidationError, validate
from pydantic.fields import FieldInfo

ROOT = Path(__file__).parent.parent
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
# What has to be given, because nobody can guess it.
GIVEN = {
    "check": "unit",
    "handover": "5e" * 32,
    "number": 7,
    "proof": f"check-unit-{'5e' * 32}",
    "reason": "the cart is empty",
    "revision": "0123456789abcdef",
    "tag": "v1.4.0",
    "version": "0123456789abcdef",
}
# Every text field refuses the first, and every choice the second.
NASTY = "--upload-pack=$(reboot); \n" * 50
WRONG = {
    "string": [NASTY, 7, None],
    "array": [["none of those that are offered"], [], "all", None],
    "boolean": ["perhaps", 1, None],
    "integer": ["many", 1.5, -1, 10**9, None],
}


class Form:
    """The form of one deployment, as `prefect deploy` registers it."""

    def __init__(self, deployment):
        path, name = deployment["entrypoint"].split(":")
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
        self.flow = getattr(module, name)
        self.name = f"{self.flow.name}/{deployment['name']}"
        self.schema = self.flow.parameters.model_dump()
        self.fields = self.schema["properties"]
        self.required = set(self.schema["required"])
        self.filled = deployment.get("parameters", {})
        self.tags = deployment["tags"]

    def refusal(self, **given):
        """The sentence by which `given` is refused, or None."""
        try:
            validate({**self.filled, **given}, self.schema, raise_on_error=True)
        except ValidationError as refused:
            return str(refused)
        return None

    def least(self, **more):
        """As little as can be filled in, and `more`."""
        return {**{name: GIVEN[name] for name in self.required - self.filled.keys()}, **more}


FORMS = [Form(each) for each in DEPLOYMENTS]
of_each_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)


def form(name):
    return next(each for each in FORMS if each.name == name)


@of_each_form
def test_every_field_says_what_it_is_for(form):
    assert form.fields
    for name, field in form.fields.items():
        assert len(field.get("description", "").split()) >= 3, name


@of_each_form
def test_what_a_form_begins_with_is_taken_as_it_is(form):
    assert form.refusal(**form.least()) is None
    defaults = {name: each["default"] for name, each in form.fields.items() if "default" in each}
    assert form.refusal(**{**form.least(), **defaults, **form.filled}) is None


@of_each_form
def test_every_field_refuses_what_it_is_not_for_in_a_sentence_that_names_it(form):
    for name, field in form.fields.items():
        for wrong in WRONG[field["type"]]:
            said = form.refusal(**form.least(**{name: wrong}))
            assert said, f"{name} takes {wrong!r:.40}"
            assert f"'{name}" in said


@of_each_form
def test_every_choice_is_offered_as_a_drop_down(form):
    for name, field in form.fields.items():
        if field["type"] == "array":
            kind = field["items"]["$ref"].rsplit("/", 1)[-1]
            assert form.schema["definitions"][kind]["enum"], name


@of_each_form
def test_no_limit_stands_in_a_default_where_prefect_forgets_it(form):
    """Prefect keeps the limits of a type, as in `Annotated[str, Field(pattern=…)]`, only."""
    for name, parameter in inspect.signature(form.flow.fn).parameters.items():
        assert not (isinstance(parameter.default, FieldInfo) and parameter.default.metadata), name


@of_each_form
def test_nothing_dangerous_is_asked_for_by_default(form):
    for name, field in form.fields.items():
        if field["type"] == "boolean":
            assert field["default"] is False, name


@of_each_form
def test_a_deployment_that_changes_what_users_meet_asks_for_a_reason(form):
    if {"deploy", "provision"} & set(form.tags):
        assert "'reason' is a required property" in form.refusal(
            **{name: each for name, each in form.least().items() if name != "reason"}
        )
        assert "'reason'" in form.refusal(**form.least(reason="ok"))
        assert "'reason'" in form.refusal(**form.least(reason="     "))
    else:
        given = {"number", "revision", "tag"}
        if form.name == "stage/kanvaro":  # which only runs start
            given = {"check", "handover", "proof"}
        assert form.required <= given, "a schedule cannot fill in a form"


@of_each_form
def test_a_deployment_names_its_environment_and_takes_no_name_that_cannot_be_one(form):
    assert form.filled["environment"]
    for wrong in ("", "Production", "../staging", "production; reboot", "a" * 41):
        assert "'environment'" in form.refusal(**form.least(environment=wrong)), wrong


@pytest.mark.parametrize(
    ("name", "field", "wrong"),
    [
        ("ci/kanvaro", "revision", "main"),
        ("ci/kanvaro", "revision", "0123456789abcdeg"),
        ("ci/kanvaro", "ref", "--upload-pack=touch"),
        ("ci/kanvaro", "repository", "https://ada:secret@example.invalid/app"),
        ("blue-green/production", "version", "sha256:123"),
        ("pull-request/kanvaro", "number", 0),
        ("pull-request/kanvaro", "revision", "refs/pull/7/head"),
        ("pull-request/kanvaro", "approved_by", "ada and bob"),
        ("pull-request/kanvaro", "approved_by", "[ada](http://evil.example)"),
        ("release/kanvaro", "tag", "refs/tags/v1.0.0"),
        ("release/kanvaro", "tag", "--help"),
        ("rollback/production", "target_version", "HEAD~1"),
        ("rollback/production", "target_version", ""),
        ("rotate-secrets/production", "secrets", ["datebase"]),
        ("rotate-secrets/production", "rotation_id", "a b"),
        ("provision/staging", "stacks", []),
        ("performance/production", "weeks", 0),
    ],
)
def test_slips_that_people_make_are_refused(name, field, wrong):
    asked = form(name)
    assert f"'{field}" in asked.refusal(**asked.least(**{field: wrong}))
