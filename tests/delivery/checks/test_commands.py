"""No text that a person wrote ever reaches a shell, and none is taken for what it is not."""

import pytest

from delivery.checks.commands import command_line


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("npm run lint", ("npm", "run", "lint")),
        ("npm  run   'unit tests'", ("npm", "run", "unit tests")),
        (["npm", "run", "a b", "--x=a|b"], ("npm", "run", "a b", "--x=a|b")),
        ('npx vitest -t "a & b | c"', ("npx", "vitest", "-t", "a & b | c")),
        (r"node a\;b.js", ("node", "a;b.js")),
        ("make test#1", ("make", "test#1")),
        ("npx jest --testPathPattern=^src/.*$", ("npx", "jest", "--testPathPattern=^src/.*$")),
    ],
)
def test_a_command_is_read_as_an_argument_list(written, words):
    assert command_line(written) == words


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("npm run a && npm run b", "&&"),
        ("npm run a&&npm run b", "&&"),
        ("npm test | tee x", "|"),
        ("npm test; rm -rf /", ";"),
        ("npm test > out", ">"),
        ("npm test 2>&1", ">&"),
        ("npm test < in", "<"),
        ("npm test &", "&"),
        ("echo $(id)", r"\("),
        ("echo `id`", "`"),
        ('echo "$(id)"', r"\$\("),
        ("echo ${HOME}", r"\$\{"),
        ("echo $HOME", r"\$H"),
        (["npm", "test", "&&", "id"], "&&"),
        (["echo", "$(id)"], r"\$\("),
    ],
)
def test_what_only_a_shell_understands_is_refused_and_named(written, named):
    with pytest.raises(ValueError, match=f"holds `{named}.*put it in an npm script"):
        command_line(written)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "is empty"),
        ([], "is empty"),
        ("  ", "is empty"),
        ("npm run 'a", "no closing quotation"),
        (["npm", 3], "list of strings"),
        (True, "list of strings"),
        ("npm run a\nid", "line break"),
        (["npm", "a\0b"], "zero byte"),
        ("CI=1 npm test", "environment"),
        ("--version", "instead of a program"),
    ],
)
def test_a_command_that_cannot_be_meant_is_refused_with_the_reason(written, why):
    with pytest.raises(ValueError, match=why):
        command_line(written)
