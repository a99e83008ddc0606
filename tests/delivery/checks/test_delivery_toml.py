"""What an application may say in delivery.toml, and how a mistake in it is told."""

import json
import re

import pytest

from delivery.checks.delivery_toml import parse_table
from delivery.checks.table import DEFAULT_TABLE, with_audit_level
from delivery.errors import ConfigurationError


def test_an_empty_file_changes_nothing():
    assert parse_table("", DEFAULT_TABLE) == DEFAULT_TABLE


def test_a_full_example_is_understood():
    table = parse_table(
        """
        folder = "apps/web"
        node = ">=20 <23"
        install = "npm ci --ignore-scripts"
        install_timeout = "20m"

        [checks.unit]
        command = ["npm", "run", "test:fast", "--", "--grep", "a b"]
        timeout = "1h30m"
        services = ["redis", "mongodb"]
        environment = { LOG_LEVEL = "debug" }

        [checks.e2e]
        skip = "no browser\\n yet"

        [checks.lint]
        timeout = 90
        may_fail = true

        [checks.licences]
        command = "npx license-checker --summary"
        """,
        DEFAULT_TABLE,
    )

    assert (table.folder, table.node, table.install_timeout_s) == ("apps/web", ">=20 <23", 1200)
    assert table.install == ("npm", "ci", "--ignore-scripts")
    unit = table.check("unit")
    assert unit.command == ("npm", "run", "test:fast", "--", "--grep", "a b")
    assert unit.script == "test:fast"
    assert (unit.timeout_s, unit.services) == (5400, ("mongodb", "redis"))
    assert unit.environment == {"LOG_LEVEL": "debug"}
    assert table.check("e2e").skip == "no browser yet"
    assert table.check("lint").timeout_s == 90
    assert table.check("lint").may_fail
    assert table.check("licences").command == ("npx", "license-checker", "--summary")
    assert [check.name for check in table.checks][:8] == [c.name for c in DEFAULT_TABLE.checks]


def test_a_script_named_in_the_file_must_exist_unless_said_otherwise():
    """Else a misspelt script would be reported as "not applicable" for ever."""
    assert parse_table('[checks.unit]\ncommand = "npm run tset"', DEFAULT_TABLE).missing({})
    excused = '[checks.unit]\ncommand = "npm run tset"\nrequired = false'
    assert not parse_table(excused, DEFAULT_TABLE).missing({})


@pytest.mark.parametrize("level", ["low", "moderate"])
def test_the_level_of_the_audit_can_be_made_stricter(level):
    table = parse_table(f'[checks.security]\naudit_level = "{level}"', DEFAULT_TABLE)

    assert table.check("security").audit_level == level
    assert table.check("security").scanners == DEFAULT_TABLE.check("security").scanners


@pytest.mark.parametrize(
    ("environment", "level"), [("moderate", "high"), ("low", "moderate"), ("high", "critical")]
)
def test_the_code_under_test_cannot_make_its_audit_laxer(environment, level):
    default = with_audit_level(DEFAULT_TABLE, environment)

    with pytest.raises(ConfigurationError, match=f"{level!r} is laxer than {environment!r}"):
        parse_table(f'[checks.security]\naudit_level = "{level}"', default)


@pytest.mark.parametrize(
    "name",
    ["install", "codecov", "secrets", "npm-audit", "snyk", "scanned", "build-context", "stop"],
)
def test_a_check_cannot_take_a_name_that_the_pipeline_uses(name):
    with pytest.raises(ConfigurationError, match=f"`checks.{name}`: the pipeline itself uses"):
        parse_table(f'[checks.{name}]\ncommand = "true"', DEFAULT_TABLE)


@pytest.mark.parametrize(
    "text",
    [
        "node = " + "[" * 100_000,
        "folder = " + "[" * 400 + "]" * 400,
        "node = " + "9" * 5_000,
        "node = 0x" + "f" * 9_000,
        "[" + ".".join("a" * 5_000) + "]",
    ],
    ids=["open", "closed", "number", "hexadecimal", "tables"],
)
def test_a_hostile_file_gets_the_same_clear_error(text):
    with pytest.raises(ConfigurationError, match=r"delivery\.toml") as raised:
        parse_table(text, DEFAULT_TABLE)
    assert "delivery.toml, commit, and run again" in raised.value.hint


@pytest.mark.parametrize("key", ['skip = "slow"', "may_fail = true", 'command = "true"'])
def test_the_code_under_test_cannot_switch_its_scanners_off(key):
    name = key.split()[0]
    with pytest.raises(ConfigurationError, match=f"`checks.security.{name}`: scanners are"):
        parse_table(f"[checks.security]\n{key}", DEFAULT_TABLE)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('foldr = "x"', r"`foldr`: unknown key; did you mean `folder`\?"),
        ("[checks.unit]\ntimout = 3", r"`checks.unit.timout`: unknown key; did you mean `timeout`"),
        ("[checks.unit]\ncolour = 3", r"`checks.unit.colour`: unknown key; there are command"),
        ("[check.unit]\ntimeout = 3", r"`check`: unknown key; did you mean `checks`\?"),
        ('[checks.untit]\ntimeout = "3m"', r"`checks.untit`: a new check .*did you mean `unit`"),
        ("[checks.unit]\ntimeout = true", r"`checks.unit.timeout`: must be whole seconds"),
        ("[checks.unit]\ntimeout = 1.5", r"`checks.unit.timeout`: must be whole seconds"),
        ('[checks.unit]\ntimeout = "soon"', r"`checks.unit.timeout`: must be whole seconds"),
        ('[checks.unit]\ntimeout = ""', r"`checks.unit.timeout`: must be between 1 s and 6 h"),
        ("[checks.unit]\ntimeout = -5", r"`checks.unit.timeout`: must be between"),
        ('[checks.unit]\ntimeout = "7h"', r"`checks.unit.timeout`: must be between"),
        ('[checks.unit]\nrequired = "yes"', r"`checks.unit.required`: must be true or false"),
        ('[checks.unit]\nservices = ["mysql"]', r"unknown service 'mysql'; there are mongodb"),
        ('[checks.unit]\nservices = "redis"', r"`checks.unit.services`: must be a list"),
        (
            '[checks.unit]\ncommand = "a && b"',
            r"`checks.unit.command`: holds `&&`, but there is no shell",
        ),
        ("[checks.unit]\ncommand = 3", r"`checks.unit.command`: must be a command line or a list"),
        ("[checks.unit]\nskip = true", r"`checks.unit.skip`: must be a reason"),
        ('[checks.unit]\nskip = " "', r"`checks.unit.skip`: give a reason"),
        ("[checks.unit.environment]\nA = 1", r"`checks.unit.environment.A`: must be a string"),
        ('[checks.unit.environment]\n"A=B" = "1"', r"not the name of an environment variable"),
        ('[checks.unit.environment]\nPATH = "/x"', r"`checks.unit.environment.PATH`: .*set by"),
        ('[checks.unit.environment]\nKANVARO_CHECK = "1"', r"set by the pipeline"),
        ('[checks.unit]\naudit_level = "low"', r"only the check of the scanners"),
        ('[checks.security]\naudit_level = "none"', r"must be one of low, moderate, high"),
        ("checks = 3", r"`checks`: must be a table"),
        ("[checks]\nunit = 3", r"`checks.unit`: must be a table"),
        ('[checks."Unit Tests"]\ncommand = "x"', r"a check is named in a-z"),
        ('folder = "../other"', r"`folder`: '../other' leaves the repository"),
        ('folder = "a/../../b"', r"leaves the repository"),
        ('folder = "/etc"', r"leaves the repository"),
        ("folder = 'a\\b'", r"leaves the repository"),
        ('folder = "-x"', r"is not a path"),
        ('folder = ".git"', r"is not a path"),
        ('folder = "a\\nb"', r"is not a path"),
        ("folder = 3", r"`folder`: must be a path in quotes"),
        ("node = 20", r'`node`: must be a version in quotes, such as "20"'),
        ('node = "newest"', r"`node`: cannot read 'newest'"),
        ('install = "npm ci | tee log"', r"`install`: holds `\|`"),
        ("folder = x\n", r"delivery.toml is not valid TOML: .*line 1, column 10"),
        ("node = '20'\n[checks.unit\n", r"not valid TOML: .*line 2, column"),
    ],
)
def test_a_mistake_is_told_by_the_key_it_is_in(text, sentence):
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        parse_table(text, DEFAULT_TABLE)
    assert "delivery.toml" in str(caught.value)


def test_an_image_is_named_for_all_checks_or_for_one():
    table = parse_table(
        'image = "ghcr.io/me/node:22"\n[checks.e2e]\nimage = "a.example:5000/x@sha256:%s"\n'
        "[checks.unit]\nbrowser = true\n" % ("0" * 64),
        DEFAULT_TABLE,
    )

    assert table.image == "ghcr.io/me/node:22"
    assert table.check("e2e").image.startswith("a.example:5000/x@sha256:")
    assert table.check("unit").browser


@pytest.mark.parametrize(
    "image", ["node", "-v:1", "node:22 --privileged", "", "no/Upper:1", "a\nb:1"]
)
def test_what_names_no_image_is_refused(image):
    with pytest.raises(ConfigurationError, match="container image"):
        parse_table(f"image = {json.dumps(image)}", DEFAULT_TABLE)


HOSTILE = {
    "a megabyte": ("#" * 1_000_000, "has 1000000 characters; 100000 are read"),
    "a dotted key": ("a." * 40_000 + "a = 1", "nested too deeply"),
    "a dotted header": ("[" + "a." * 40_000 + "a]", "nested too deeply"),
    "a dotted key inside": ("x = {" + "a." * 40_000 + "a = 1}", "nested too deeply"),
    "lists in lists": ("x = " + "[" * 50_000, "nested too deeply"),
    "digits": ("install_timeout = " + "9" * 5_000, "a number of thousands of digits"),
    "a huge number": ("folder = 0x" + "f" * 50_000, "a number of thousands of digits"),
    "digits in a text": (f'install_timeout = "{"9" * 5_000}h"', "`install_timeout`: must be whole"),
    "many checks": (
        "\n".join(f"[checks.a{n}]\ncommand = 'x'" for n in range(1000)),
        "`checks`: there are 1000; a run has at most 100",
    ),
    "a long key": ("a" * 90_000 + " = 1", "unknown key"),
    "a long value": (f'migration = "{"a" * 90_000}"', "`migration`: must be one of"),
    "a long path": (f'folder = "{"a/" * 40_000}"', "a path has at most 1000"),
    "a key of two lines": ('"a\\nb\\u001b[31m" = 1', "`a b`: unknown key"),
    "half of a character": ('[checks.unit]\nskip = "\\ud800"', "is not valid TOML"),
}


@pytest.mark.parametrize(("text", "why"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused_in_one_short_sentence(text, why):
    with pytest.raises(ConfigurationError, match=re.escape(why)) as caught:
        parse_table(text, DEFAULT_TABLE)

    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)
    assert len(caught.value.hint) < 200


def test_a_long_reason_to_skip_a_check_is_shortened():
    table = parse_table(f'[checks.unit]\nskip = "{"why " * 10_000}"', DEFAULT_TABLE)

    [skip] = [check.skip for check in table.checks if check.skip]
    assert len(skip) == 400


def test_a_check_can_be_alone_and_fewer_can_run_at_once():
    table = parse_table("checks_at_once = 1\n[checks.e2e]\nalone = true", DEFAULT_TABLE)

    assert table.checks_at_once == 1
    assert [check.name for check in table.checks if check.alone] == ["e2e"]
    assert DEFAULT_TABLE.checks_at_once is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("checks_at_once = 0", "checks_at_once"),
        ("checks_at_once = 101", "checks_at_once"),
        ('checks_at_once = "2"', "checks_at_once"),
        ("checks_at_once = true", "checks_at_once"),
        ('[checks.e2e]\nalone = "yes"', "checks.e2e.alone"),
        ("[checks.security]\nalone = true", "checks.security.alone"),
    ],
)
def test_what_is_no_number_of_checks_or_no_yes_is_refused(text, key):
    with pytest.raises(ConfigurationError, match=f"`{key}`"):
        parse_table(text, DEFAULT_TABLE)
