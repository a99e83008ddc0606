"""Validate JSON against GitHub's published OpenAPI description, by githubkit's models of it.

githubkit names method and path of each operation in a docstring, and its models beside it.
"""

import ast
import builtins
import json
import re
import typing
from functools import cache
from pathlib import Path
from typing import NamedTuple

import githubkit_schemas.v2022_11_28.models as models
import githubkit_schemas.v2022_11_28.rest as rest
from pydantic import TypeAdapter

GROUPS = ("apps", "git", "issues", "pulls", "rate_limit", "repos", "users")
# Parameters that may contain slashes.
LONG = ("{ref}", "{basehead}", "{tag}")


class Operation(NamedTuple):
    """The description of one method and path; models by their expression."""

    method: str
    path: str
    answer: str | None
    errors: dict[str, str]
    body: str | None

    @property
    def form(self) -> re.Pattern[str]:
        parts = re.split(r"(\{[a-z_]+\})", self.path)
        return re.compile(
            "".join(
                (".+" if part in LONG else "[^/]+") if part.startswith("{") else re.escape(part)
                for part in parts
            )
        )


@cache
def operations():
    """Return all operations of the groups that we use, those with the fewest parameters first."""
    folder = Path(rest.__file__).parent
    found = []
    for group in GROUPS:
        tree = ast.parse((folder / f"{group}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and (said := ast.get_docstring(node)):
                line = re.search(r"^(GET|POST|PATCH|PUT|DELETE) (/\S*)$", said, re.MULTILINE)
                if line:
                    found.append(_operation(*line.groups(), node))
    return sorted(found, key=lambda each: each.path.count("{"))


def _operation(method, path, node):
    answer, errors, body = None, {}, None
    for call in (each for each in ast.walk(node) if isinstance(each, ast.Call)):
        if getattr(call.func, "id", "") == "type_validate_python":
            body = ast.unparse(call.args[0])
        for keyword in call.keywords:
            if keyword.arg == "response_model":
                answer = ast.unparse(keyword.value)
            if keyword.arg == "error_models":
                pairs = zip(keyword.value.keys, keyword.value.values, strict=True)
                errors = {key.value: ast.unparse(value) for key, value in pairs}
    return Operation(method, path, answer, errors, body)


def operation(method, path):
    """Return the operation of a request, or None."""
    for each in operations():
        if each.method == method and each.form.fullmatch(path):
            return each
    return None


@cache
def _adapter(expression):
    names = {
        word: getattr(models, word, None) or getattr(typing, word, None) or getattr(builtins, word)
        for word in re.findall(r"[A-Za-z_]\w*", expression)
    }
    # An expression from the locked package, such as list[Release].
    return TypeAdapter(eval(expression, names))  # noqa: S307


def require(expression, content):
    """Raise pydantic's ValidationError if JSON does not match the description."""
    _adapter(expression).validate_json(json.dumps(content), strict=True)


def require_described(call):
    """Compare one recorded request and its answer with the description.

    Raises AssertionError for what is not described, ValidationError for what differs.
    """
    found = operation(call.method, call.path.removeprefix("/uploads"))
    assert found, f"GitHub does not describe {call.method} {call.path}"
    if call.requested is not None and call.status and call.status < 400:
        assert found.body, f"{found.method} {found.path} takes no body"
        require(found.body, call.requested)
    if call.answer is None:
        return
    assert call.status is not None
    if call.status >= 400:
        assert {"message", "documentation_url"} <= call.answer.keys()
        require(found.errors.get(str(call.status), "BasicError"), call.answer)
        return
    assert found.answer, f"{found.method} {found.path} has no answer"
    require(found.answer, _without_starters(call.answer))


def _without_starters(answer):
    """Only GitHub's prose describes the state `starter`, of an interrupted upload."""
    if isinstance(answer, dict):
        changed = {name: _without_starters(each) for name, each in answer.items()}
        return changed | ({"state": "open"} if answer.get("state") == "starter" else {})
    return [_without_starters(each) for each in answer] if isinstance(answer, list) else answer
