"""Say what a script lacks that runs tests and writes no coverage report."""

import re

# Each was tried: with these options the tool writes coverage/lcov.info.
_OPTIONS = (
    (
        "vitest",
        re.compile(r"\bvitest\b"),
        "`--coverage --coverage.reporter=lcov --coverage.reporter=text`",
    ),
    (
        "jest",
        re.compile(r"\bjest\b|\breact-scripts test\b"),
        "`--coverage --coverageReporters=lcov --coverageReporters=text`",
    ),
    ("c8", re.compile(r"\bc8\b"), "`--reporter=lcov --reporter=text`"),
    ("nyc", re.compile(r"\bnyc\b"), "`--reporter=lcov --reporter=text`"),
    (
        "node --test",
        re.compile(r"\bnode [^|;]{0,200}?--test\b"),
        "`mkdir -p coverage &&` before it, and `--experimental-test-coverage --test-reporter=lcov "
        "--test-reporter-destination=coverage/lcov.info`",
    ),
)
_ANY = "the reporter `lcov` of its test runner, to coverage/lcov.info"


def what_to_add(script: str | None, text: str) -> str:
    """Say what to add to a script (None: a command) of this text, for a coverage/lcov.info."""
    known = next((options for _, runs, options in _OPTIONS if runs.search(text)), None)
    to = f"the script `{script}`" if script else "the command"
    return f"add to {to}: {known or _ANY}"
