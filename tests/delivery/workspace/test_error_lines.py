"""The line that says what is wrong, in outputs as tools really write them."""

import pytest

from delivery.workspace.error_lines import FirstError, how_it_ended, in_a_line, with_its_lines

TSC = "src/bad.ts(1,7): error TS2322: Type 'string' is not assignable to type 'number'."
ESLINT = """
/workspace/source/src/bad.js
  1:7  error  'unused' is assigned a value but never used  no-unused-vars

✖ 1 problem (1 error, 0 warnings)
"""
PRETTIER = """
Checking formatting...
[warn] src/bad.js
[warn] Code style issues found in the above file. Run Prettier with --write to fix.
"""
VITEST = """
 RUN  v2.1.9 /workspace/source

 ❯ sum.test.js (1 test | 1 failed) 6ms
   × adds 5ms
     → expected 2 to be 3 // Object.is equality

 FAIL  sum.test.js > adds
AssertionError: expected 2 to be 3 // Object.is equality
"""
JEST = """
FAIL jest/sum.test.cjs
  ✕ adds (11 ms)

  ● adds

    expect(received).toBe(expected) // Object.is equality
"""
MOCHA = """
  sum
    1) adds

  0 passing (15ms)
"""
NODE_TEST = """
TAP version 13
# Subtest: adds
not ok 1 - adds
  ---
"""
PLAYWRIGHT = """
Running 1 test using 1 worker
F

  1) pw/a.spec.js:1:47 › adds ──────
"""
NODE = """
node:internal/modules/cjs/loader:1210
  throw err;
  ^

Error: Cannot find module 'x-y'
Require stack:
"""
NPM = """
> app@1.0.0 lint
> eslint .

sh: 1: eslint: not found
npm error code 127
"""


@pytest.mark.parametrize(
    ("output", "first"),
    [
        (f"> tsc --noEmit\n{TSC}", TSC),
        ("src/bad.ts:1:7 - error TS2322: Type 'string'", "src/bad.ts:1:7 - error TS2322: Type"),
        (ESLINT, "  1:7  error  'unused' is assigned"),
        (PRETTIER, "[warn] src/bad.js"),
        (VITEST, "   × adds 5ms"),
        (JEST, "FAIL jest/sum.test.cjs"),
        (MOCHA, "    1) adds"),
        (NODE_TEST, "not ok 1 - adds"),
        (PLAYWRIGHT, "  1) pw/a.spec.js:1:47 › adds"),
        (NODE, "Error: Cannot find module 'x-y'"),
        (NPM, "sh: 1: eslint: not found"),
        ("bash: line 1: eslint: command not found", "bash: line 1: eslint: command not found"),
    ],
    ids=lambda value: value.strip().splitlines()[0][:30],
)
def test_the_first_error_of_each_tool_is_found(output, first):
    assert heard(output)[0].startswith(first)


@pytest.mark.parametrize(
    "output",
    [
        "0 errors\nFound 0 errors.",
        "✓ errors are handled (3 ms)",
        "npm error code 1\nnpm error command failed",
        "added 5 packages in 3s",
        "    at Test.run (node:internal/test_runner/test:796:25)",
        "no error: everything is well",
    ],
)
def test_what_is_no_error_is_not_taken_for_one(output):
    assert heard(output) == ()


def test_the_lines_after_it_are_kept_too_without_empty_ones_and_not_all():
    assert heard("Error: a\n\n  at b\n  at c\n  at d") == ("Error: a", "  at b", "  at c")
    assert [len(line) for line in heard(f"Error: {'x' * 9000}")] == [500]


def test_a_failure_whose_last_lines_are_a_stack_begins_with_its_first_error():
    text = with_its_lines("unit: `npm test` ended", ["Error: no port", "  at a"], ["  at x"])

    assert text.splitlines()[1:] == ["Error: no port", "  at a", "…", "  at x"]
    assert how_it_ended(text) == "unit: `npm test` ended"
    assert in_a_line(text) == "unit: `npm test` ended: Error: no port"


def test_an_error_that_stands_in_the_last_lines_is_not_told_twice():
    text = with_its_lines("lint: `eslint` ended", ["Error: a"], ["x", "Error: a"])

    assert text.splitlines() == ["lint: `eslint` ended; its last lines:", "x", "Error: a"]
    assert in_a_line(text) == "lint: `eslint` ended: Error: a"


def test_a_failure_of_another_kind_is_told_by_its_first_line():
    assert how_it_ended("security: 2 findings\n- a\n- b") == "security: 2 findings"
    assert in_a_line("security: 2 findings; its owner knows") == (
        "security: 2 findings; its owner knows"
    )
    assert how_it_ended("") == "no reason was recorded"


def heard(output):
    first = FirstError()
    for line in output.splitlines():
        first.hear(line)
    return first.lines
