"""Define a request to the fake GitHub and the routing table that answers it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sandbox.github.access import Token
from sandbox.github.store import GitHub, Repository
from sandbox.github.words import Refused


@dataclass(frozen=True)
class ApiRequest:
    """A request whose token was accepted: the parts of its path, its query and its body."""

    github: GitHub
    token: Token
    parts: Mapping[str, str]
    query: Mapping[str, str]
    body: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.parts['owner']}/{self.parts['repository']}"

    @property
    def repository(self) -> Repository:
        return self.github.repository(self.name)

    @property
    def number(self) -> int:
        return int(self.parts["number"])

    @property
    def base(self) -> str:
        """Return the address of the repository in the API."""
        return f"{self.github.address}/repos/{self.name}"

    def page(self, usual: int = 30, largest: int = 100) -> tuple[int, int]:
        """Return number and size of the requested page; raises Refused if either is no number."""
        try:
            number = max(int(self.query.get("page", 1)), 1)
            size = int(self.query["per_page"]) if "per_page" in self.query else usual
        except ValueError:
            raise Refused(422, "page and per_page must be numbers") from None
        return number, max(min(size, largest), 1) if "per_page" in self.query else usual


class Page(NamedTuple):
    """One page of a list with `total` entries, in a body that is more than the list."""

    body: Any
    total: int
    number: int
    size: int


class Route(NamedTuple):
    """A route: `path` is below `/repos/{owner}/{repository}`, or absolute if it begins with `//`.

    `permission` is what a token needs, written as in `X-Accepted-GitHub-Permissions`.
    """

    method: str
    path: str
    permission: str
    answer: Callable[[ApiRequest], Any]
    status: int = 200
