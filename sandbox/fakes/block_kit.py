"""Check whether Slack would accept a list of Block Kit blocks.

The sizes are those of https://docs.slack.dev/reference/block-kit/blocks, as a JSON Schema.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

_validator = Draft202012Validator(
    json.loads(Path(__file__).with_name("block_kit.schema.json").read_text())
)


def complaints(blocks: Any) -> list[str]:
    """Return what is wrong with the blocks, in Slack's words; empty if nothing is wrong."""
    errors = [leaf for error in _validator.iter_errors(blocks) for leaf in _leaves(error)]
    return [*map(_complaint, errors), *_repeated_ids(blocks)]


def _leaves(error: ValidationError) -> Iterator[ValidationError]:
    if error.validator == "anyOf" or not error.context:
        yield error
    else:
        for part in error.context:
            yield from _leaves(part)


def _complaint(error: ValidationError) -> str:
    pointer = "".join(f"/{step}" for step in error.absolute_path)
    return f"[ERROR] {_without_middle(error.message)} [json-pointer:/blocks{pointer}]"


def _without_middle(message: str) -> str:
    """Cut the middle of a long message: it quotes the block first and names the fault last."""
    return message if len(message) <= 200 else f"{message[:80]} … {message[-100:]}"


def _repeated_ids(blocks: Any) -> list[str]:
    if not isinstance(blocks, list):
        return []
    seen: set[str] = set()
    found = []
    for index, block in enumerate(blocks):
        name = block.get("block_id") if isinstance(block, dict) else None
        if isinstance(name, str) and name in seen:
            found.append(f"[ERROR] block_id already exists [json-pointer:/blocks/{index}/block_id]")
        elif isinstance(name, str):
            seen.add(name)
    return found
