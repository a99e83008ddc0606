"""What a release must pass, and what is taken out of its build."""

import base64
import json
import random

import pytest

from delivery.checks.images import Images
from delivery.checks.plan import CheckPlan
from delivery.checks.table import DEFAULT_TABLE, Check
from delivery.release.reproducible_build import HOME, build_variables, replacements
from delivery.release.required_tests import tests_of as plan_of_release
from delivery.workspace.packages import Manager

REVISION = "0123456789" * 4
UNIT = Check("unit", script="test:unit")
E2E = Check("e2e", script="test:e2e")
LINT = Check("lint", script="lint")
IMAGES = Images("node:22-bookworm", "node:22-bookworm")


def chosen(scripts, *checks):
    plan = CheckPlan(
        DEFAULT_TABLE, Manager("npm", ("npm",), ()), IMAGES, {}, checks or (LINT, UNIT, E2E), ()
    )
    made = plan_of_release(plan, scripts)
    return [check.script for check in made.checks], made.remarks[-1]


def test_a_chain_of_checks_is_those_checks():
    scripts = {"test:all": "npm run test:unit && npm run test:e2e"}
    assert chosen(scripts) == (["test:unit", "test:e2e"], "`test:all` is `test:unit`, `test:e2e`")


@pytest.mark.parametrize(
    "written",
    [
        "vitest run",
        "npm run test:unit && npm run test:contract",
        "npm run test:unit || npm run test:e2e",
        "npm run test:unit -- --grep quick && npm run test:e2e",
        "npm run test:unit; true",
        "npm run test:unit &&npm run test:e2e",
    ],
)
def test_anything_else_is_run_as_it_is(written):
    assert chosen({"test:all": written}) == (["test:all"], "`test:all` was run as it is")


def test_a_check_that_may_fail_or_does_something_else_proves_nothing():
    scripts = {"test:all": "npm run test:unit"}
    for other in ({"may_fail": True}, {"command": ("true",)}):
        assert chosen(scripts, Check("unit", script="test:unit", **other))[0] == ["test:all"]


def test_without_it_the_tests_of_the_plan_apply_and_that_is_said():
    scripts, remark = chosen({})
    assert scripts == ["test:unit", "test:e2e"]
    assert remark == "there is no script `test:all`; what applies is `test:unit`, `test:e2e`"
    assert chosen({}, LINT) == (
        [],
        "there is no script `test:all`; no script tests this application",
    )


def test_two_builds_become_the_same():
    def built(folder, mark):
        draw = random.Random(mark).randbytes  # noqa: S311
        drawn = {"previewModeId": draw(16).hex(), "previewModeSigningKey": draw(32).hex()}
        key = base64.b64encode(draw(32)).decode()
        text = f"{folder}/server.js {drawn['previewModeId']} {drawn['previewModeSigningKey']} {key}"
        build_id = draw(16).hex()[:21]
        taken = replacements(
            folder,
            build_id,
            json.dumps({"preview": drawn}),
            json.dumps({"encryptionKey": key}),
            REVISION,
        )
        text = f"{text} {build_id}".encode()
        for old, new in taken.items():
            text = text.replace(old, new)
        return text

    one, other = built("/build/a", "a"), built("/home/ada/builds/7", "b")
    assert one == other
    assert one.startswith(f"{HOME}/server.js ".encode())


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", '{"preview": [1]}', '{"preview": {"a": 1}}']
)
def test_manifests_of_another_shape_leave_the_folder_only(text):
    assert replacements("/build/a", REVISION, text, text, REVISION) == {b"/build/a": b"/app"}


def test_a_short_value_is_no_key_which_would_be_replaced_everywhere():
    short = json.dumps({"preview": {"a": "true"}, "encryptionKey": ""})
    assert replacements("/build/a", "", short, short, REVISION) == {b"/build/a": b"/app"}


def test_another_revision_has_other_keys_and_the_same_one_the_same():
    key = "NEXT_SERVER_ACTIONS_ENCRYPTION_KEY"
    assert build_variables(REVISION, 1)[key] == build_variables(REVISION, 2)[key]
    assert build_variables(REVISION, 1)[key] != build_variables("f" * 40, 1)[key]
