"""One request to the sandbox's GitHub, and the table of what answers it."""

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
        """The repository's own address."""
        return f"{self.github.address}/repos/{self.name}"

    def page(self, usual: int = 30, largest: int = 100) -> tuple[int, int]:
        """Number and size of the page that is wanted."""
        try:
            number = max(int(self.query.get("page", 1)), 1)
            size = int(self.query["per_page"]) if "per_page" in self.query else usual
        except ValueError:
            raise Refused(422, "page and per_page must be numbers") from None
        return number, max(min(size, largest), 1) if "per_page" in self.query else usual


class Page(NamedTuple):
    """One page out of a list of `total` entries, in a body that is not the list itself."""

    body: Any
    total: int
    number: int
    size: int


class Route(NamedTuple):
    """`path` is below `/repos/{owner}/{repository}`, or whole if it begins with two slashes.

    `permission` is what a token needs, written as in `X-Accepted-GitHub-Permissions`.
    """

    method: str
    path: str
    permission: str
    answer: Callable[[ApiRequest], Any]
    status: int = 200
