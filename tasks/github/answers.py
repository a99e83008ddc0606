"""Read the answers of GitHub's API up to a size: that of a write which is unfit counts as lost."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from blocks.http_answers import parts_of
from delivery.errors import AnswerLost, GitHubRefused
from delivery.json_reader import read_json

# A hundred releases, each with notes of 125,000 characters, have some 15 MB.
LARGEST_ANSWER = 50_000_000
ANSWER_WITHIN_S = 120
TRANSFER_WITHIN_S = 3600


def within_s(*, is_transfer: bool) -> float:
    """Return how long an answer may take to come whole."""
    return TRANSFER_WITHIN_S if is_transfer else ANSWER_WITHIN_S


def keep(answer: httpx.Response, into: Path, largest: int) -> None:
    """Write a streamed answer to a file; raises what `parts_of` raises."""
    with into.open("wb") as file:
        for part in parts_of(answer, largest, TRANSFER_WITHIN_S):
            file.write(part)


def content(answer: httpx.Response) -> Any:
    """Return the JSON of an answer; that of a write which is none counts as lost."""
    try:
        return read_json(answer.content)
    except ValueError as error:
        asked = answer.request
        raise _unfit(asked.method, str(asked.url), f"is no JSON: {error}") from error


def list_in(answer: httpx.Response, key: str | None) -> list[Any]:
    """Return the list that an answer is, or has under `key`."""
    whole = content(answer)
    found = whole.get(key) if key and isinstance(whole, dict) else whole
    if not isinstance(found, list):
        raise _unfit("GET", str(answer.request.url), f"holds no list {key or ''}".strip())
    return found


def too_large(method: str, address: str, largest: int) -> GitHubRefused | AnswerLost:
    """Return the error for an answer that is not read to its end."""
    return _unfit(method, address, f"is larger than {largest} bytes")


def _unfit(method: str, address: str, why: str) -> GitHubRefused | AnswerLost:
    kind = GitHubRefused if method == "GET" else AnswerLost
    return kind(f"GitHub's answer to {method} {urlsplit(address).path} {why}")
