"""What a script lacks that measured no coverage: options with which each tool was seen to work."""

import pytest

from delivery.checks.lcov_advice import what_to_add


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("vitest run", "--coverage --coverage.reporter=lcov"),
        ("NODE_ENV=test jest --runInBand", "--coverage --coverageReporters=lcov"),
        ("react-scripts test --watchAll=false", "--coverage --coverageReporters=lcov"),
        ("c8 node --test", "--reporter=lcov"),
        ("nyc mocha", "--reporter=lcov"),
        ("node --import tsx --test test/*.ts", "--test-reporter=lcov"),
        ("tap --coverage-report=html", "the reporter `lcov` of its test runner"),
        ("", "the reporter `lcov` of its test runner"),
    ],
)
def test_the_options_of_its_own_tool_are_named(text, options):
    advice = what_to_add("test:cov", text)

    assert advice.startswith("add to the script `test:cov`: ")
    assert options in advice


def test_a_command_of_delivery_toml_is_no_script():
    assert what_to_add(None, "npx vitest run").startswith("add to the command: `--coverage ")
