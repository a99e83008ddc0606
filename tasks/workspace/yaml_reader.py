"""Read YAML that anybody may have written: whatever is wrong with it is a `ValueError`.

PyYAML makes objects by recursion, in C without a bound, so that nesting can end the process, and an
alias can multiply what it names. Here lists and mappings are made from its events.
"""

from typing import Any

import yaml

DEEPEST = 100


def read_yaml(text: str) -> list[Any]:
    """Return what each document of a YAML text says; every scalar is text.

    Raises `ValueError`, whose one line says what is wrong: no YAML, nesting of more than 100
    levels, or an alias.
    """
    documents: list[Any] = []
    open_: list[_Open] = []
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it holds an alias, which no package manager writes")
            if isinstance(event, yaml.ScalarEvent):
                _put(event.value, open_, documents)
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                open_.append(_Open({} if isinstance(event, yaml.MappingStartEvent) else []))
                if len(open_) > DEEPEST:
                    raise ValueError("it is nested too deeply")
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                made = open_.pop().made
                _put(made, open_, documents)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{error.problem or 'it is no YAML'}{where}") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())[:200]) from None
    return documents


_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class _Open:
    """A list or a mapping that is being made; a mapping waits for a key or for its value."""

    def __init__(self, made: dict[str, Any] | list[Any]) -> None:
        self.made = made
        self.key: str | None = None


def _put(value: Any, open_: list[_Open], documents: list[Any]) -> None:
    if not open_:
        documents.append(value)
        return
    outer = open_[-1]
    if isinstance(outer.made, list):
        outer.made.append(value)
    elif outer.key is not None:
        outer.made[outer.key] = value
        outer.key = None
    elif isinstance(value, str):
        outer.key = value
    else:
        raise ValueError("a key is no text")
