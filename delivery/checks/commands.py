"""Read the command lines that people write in files: argument lists, never text for a shell."""

import re
import shlex
from typing import Any

_OPERATORS = "&|;<>()"
_SUBSTITUTION = re.compile(r"`|\$[({A-Za-z_]")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_NO_SHELL = "there is no shell: put it in an npm script and name that script here"


def command_line(written: Any) -> tuple[str, ...]:
    """Read one line or a list of arguments as an argument list.

    Quotes group words as in a shell. Everything else that a shell would act on is refused, because
    without a shell it would not do what it says. Raises `ValueError` with the reason.
    """
    words = _words(written)
    if not words or not words[0].strip():
        raise ValueError("is empty")
    for word in words:
        _check(word)
    if _ASSIGNMENT.match(words[0]):
        raise ValueError("begins with a variable; write it under `environment` instead")
    if words[0].startswith("-"):
        raise ValueError(f"begins with an option, {words[0]!r}, instead of a program")
    return tuple(words)


def _words(written: Any) -> list[str]:
    if isinstance(written, str):
        if "\n" in written.strip():
            raise ValueError("holds a line break")
        return _split(written)
    if not isinstance(written, list) or not all(isinstance(word, str) for word in written):
        raise ValueError(f"must be a command line or a list of strings, not {written!r}")
    if operator := next((word for word in written if _is_operator(word)), None):
        raise ValueError(f"holds `{operator}`, but {_NO_SHELL}")
    return written


def _check(word: str) -> None:
    if found := _SUBSTITUTION.search(word):
        raise ValueError(f"holds `{found[0]}`, but {_NO_SHELL}")
    if any(character in word for character in "\0\n\r"):
        raise ValueError("holds a line break or a zero byte")


def _split(line: str) -> list[str]:
    reader = shlex.shlex(line, posix=True, punctuation_chars=_OPERATORS)
    reader.whitespace_split = True
    reader.commenters = ""
    try:
        words = list(reader)
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {str(error).lower()}") from error
    if operator := _unquoted_operator(line):
        raise ValueError(f"holds `{operator}`, but {_NO_SHELL}")
    return words


def _unquoted_operator(line: str) -> str | None:
    quote, escaped = "", False
    for at, character in enumerate(line):
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in _OPERATORS:
            rest = line[at:]
            return rest[: len(rest) - len(rest.lstrip(_OPERATORS))]
    return None


def _is_operator(word: str) -> bool:
    return bool(word) and all(character in _OPERATORS for character in word)
