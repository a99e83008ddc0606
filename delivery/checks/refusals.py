"""Refuse what a `delivery.toml` says, naming the key and what to write instead."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from delivery.errors import ConfigurationError
from delivery.text import cut, shortened

FILE = "delivery.toml"
LONGEST_NAME, LONGEST_REASON = 120, 400


def typed(value: Any, kind: type, path: str, wanted: str) -> Any:
    """Return a value of the type that is wanted. Raises `ConfigurationError` for another."""
    if not isinstance(value, kind):
        raise refused(path, f"must be {wanted}, not {value!r}")
    return value


def refuse_unknown_keys(table: Mapping[str, Any], known: Collection[str], path: str) -> None:
    """Raise `ConfigurationError` if a table has a key that is not among the known ones."""
    for key in table:
        if key not in known:
            raise refused(f"{path}{key}", f"unknown key{did_you_mean(key, known)}")


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Say which known name is like an unknown one, or which there are."""
    similar = get_close_matches(name, list(known), n=1)
    return f"; did you mean `{similar[0]}`?" if similar else f"; there are {', '.join(known)}"


def refused(path: str, why: str) -> ConfigurationError:
    """Return the error about the key at `path`: what is wrong with it, and what to do."""
    name = shortened(path, LONGEST_NAME)
    return ConfigurationError(
        f"{FILE}: `{name}`: {cut(why, LONGEST_REASON)}",
        hint=f"Correct `{name}` in {FILE}, commit, and run again.",
    )
