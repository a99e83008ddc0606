"""Validate requests and answers against botocore's own model of App Runner.

Stricter than AWS in one way: members that the model does not know are refused, where AWS drops them
silently. Looser in two: the pattern `.*` stands for any string, line breaks included, and only the
length of `ServiceId` (32) is checked, because its pattern describes a UUID of 36.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session

from sandbox.app_runner.errors import AwsError, BrokenAnswer

# Errors that any AWS service may answer and that no model lists.
COMMON_ERRORS = frozenset({
    "AccessDeniedException", "InvalidSignatureException", "MissingAuthenticationTokenException",
    "NotEmulatedException", "SerializationException", "ThrottlingException",
    "UnknownOperationException", "ValidationException",
})  # fmt: skip
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,), "map": (dict,), "list": (list,), "string": (str,), "boolean": (bool,),
    "integer": (int,), "timestamp": (int, float),
}  # fmt: skip


@cache
def model() -> Any:
    """Return App Runner's service model of the installed botocore."""
    return botocore.session.get_session().get_service_model("apprunner")


@cache
def operation_names() -> frozenset[str]:
    return frozenset(model().operation_names)


def check_request(operation: str, parameters: object) -> None:
    """Refuse a request whose shape is wrong, before any rule of the service is checked.

    Raises `SerializationException` for a wrong type and `ValidationException` for the rest.
    """
    problems = list(_problems(model().operation_model(operation).input_shape, parameters, ""))
    for problem in problems:
        if problem.startswith("type:"):
            raise AwsError("SerializationException", problem.removeprefix("type:"))
    if problems:
        found = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected"
        raise AwsError("ValidationException", f"{found}: {'; '.join(problems)}")


def check_answer(operation: str, answer: object) -> None:
    """Raise `BrokenAnswer` unless the answer fits the operation's output shape."""
    shape = model().operation_model(operation).output_shape
    problems = list(_problems(shape, answer, ""))
    if problems:
        raise BrokenAnswer(f"{operation} answered outside of its model: {'; '.join(problems)}")


def declares(operation: str, code: str) -> bool:
    """Return whether the operation's model lists this error."""
    return code in {shape.name for shape in model().operation_model(operation).error_shapes}


def check_error(operation: str, error: AwsError) -> None:
    """Raise `BrokenAnswer` unless the operation declares this error, or every service has it."""
    if error.code not in COMMON_ERRORS and not declares(operation, error.code):
        raise BrokenAnswer(f"{operation} does not declare {error.code}")


def redacted(operation: str, parameters: Any) -> Any:
    """Return the parameters with `***` for every value that the model marks as sensitive."""
    return _redacted(model().operation_model(operation).input_shape, parameters)


def _redacted(shape: Any, value: Any) -> Any:
    if shape is None:
        return value
    if shape.metadata.get("sensitive"):
        return "***"
    if isinstance(value, dict) and shape.type_name == "structure":
        return {k: _redacted(shape.members.get(k), v) for k, v in value.items()}
    if isinstance(value, dict) and shape.type_name == "map":
        return {k: _redacted(shape.value, v) for k, v in value.items()}
    if isinstance(value, list) and shape.type_name == "list":
        return [_redacted(shape.member, v) for v in value]
    return value


def _problems(shape: Any, value: object, path: str) -> Iterator[str]:
    expected = _PYTHON_TYPES[shape.type_name]
    is_mistaken_bool = isinstance(value, bool) and bool not in expected
    if not isinstance(value, expected) or is_mistaken_bool:
        yield f"type:{path or 'the request'} must be a {shape.type_name}"
    elif isinstance(value, dict) and shape.type_name == "structure":
        yield from _problems_of_structure(shape, value, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _problems(shape.key, key, f"{path}.key")
            yield from _problems(shape.value, item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _problems(shape.member, item, f"{path}.{index}")
    else:
        yield from _problems_of_scalar(shape, value, path)


def _problems_of_structure(shape: Any, value: dict[str, object], path: str) -> Iterator[str]:
    prefix = f"{path}." if path else ""
    for name in shape.required_members:
        if name not in value:
            yield _constraint(f"{prefix}{name}", "Member must not be null")
    for name, item in value.items():
        if name not in shape.members:
            yield _constraint(f"{prefix}{name}", "Member is not known to this operation")
        else:
            yield from _problems(shape.members[name], item, f"{prefix}{name}")


def _problems_of_scalar(shape: Any, value: object, path: str) -> Iterator[str]:
    if isinstance(value, str):
        yield from _problems_of_text(shape, value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        limits = shape.metadata
        if value < limits.get("min", value):
            yield _constraint(path, f"Member must be at least {limits['min']}")
        if value > limits.get("max", value):
            yield _constraint(path, f"Member must be at most {limits['max']}")


def _problems_of_text(shape: Any, value: str, path: str) -> Iterator[str]:
    limits = shape.metadata
    if len(value) < limits.get("min", 0):
        yield _constraint(path, f"Member must have length at least {limits['min']}")
    if len(value) > limits.get("max", len(value)):
        yield _constraint(path, f"Member must have length at most {limits['max']}")
    if limits.get("enum") and value not in limits["enum"]:
        yield _constraint(path, f"Member must satisfy enum value set: {list(limits['enum'])}")
    pattern = limits.get("pattern", ".*")
    if shape.name != "ServiceId" and pattern != ".*" and not re.fullmatch(pattern, value):
        yield _constraint(path, f"Member must satisfy regular expression pattern: {pattern}")


def _constraint(path: str, problem: str) -> str:
    # The value itself may be sensitive, so the message leaves it out.
    return f"Value at '{path}' failed to satisfy constraint: {problem}"
