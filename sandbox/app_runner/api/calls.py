"""Hold one request to the control API, and the handling of tags and pages that actions share."""

import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sandbox.app_runner.errors import invalid_request, not_found
from sandbox.app_runner.region import Region
from sandbox.app_runner.service_store import Picture

Item = TypeVar("Item")


@dataclass(frozen=True)
class Call:
    """One checked request. For a stale read, `pictures` are those of an earlier call."""

    name: str
    parameters: dict[str, Any]
    pictures: dict[str, Picture]

    def __getitem__(self, member: str) -> Any:
        return self.parameters[member]

    @property
    def picture(self) -> Picture:
        try:
            return self.pictures[self["ServiceArn"]]
        except KeyError:
            raise not_found(self["ServiceArn"]) from None


Action = Callable[[Region, Call], Awaitable[dict[str, Any]]]


def tags_of(tags: list[dict[str, str]]) -> dict[str, str]:
    if any("Key" not in tag for tag in tags):
        raise invalid_request("A tag needs a Key.")
    named = {tag["Key"]: tag.get("Value", "") for tag in tags}
    if len(named) != len(tags):
        raise invalid_request("A tag key is given twice.")
    return named


def page_of(call: Call, items: Sequence[Item], most: int) -> tuple[list[Item], dict[str, str]]:
    """Return the page that NextToken names, and the next page's token if there is one."""
    start = _offset(call.parameters["NextToken"]) if call.parameters.get("NextToken") else 0
    end = start + int(call.parameters.get("MaxResults", most))
    token = base64.urlsafe_b64encode(f"from:{end}".encode()).decode()
    return list(items[start:end]), {"NextToken": token} if end < len(items) else {}


def _offset(token: str) -> int:
    try:
        word, number = base64.urlsafe_b64decode(token).decode().split(":")
        if word != "from":
            raise ValueError(word)
        return int(number)
    except ValueError:
        raise invalid_request("The NextToken is not one that this service gave.") from None
