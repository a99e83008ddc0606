"""Use GitHub's REST API: a read may be repeated, a write is sent once.

Protocol: https://docs.github.com/en/rest (version 2022-11-28), its rate limits and its advice for
integrators. A request that a rate limit refused was not carried out, and is sent again when GitHub
allows it. A write whose answer was lost may have been carried out (`AnswerLost`): its sender reads
before it sends again (`tasks.confirmed`).
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from prefect.logging import get_logger

from blocks.environment import Environment
from blocks.http_answers import AnswerTooLarge, whole_answer
from delivery.errors import (
    AnswerLost,
    ConfigurationError,
    GitHubRefused,
    NotOnGitHub,
    PlatformBusy,
    Unreachable,
)
from delivery.github.answers import GitHubAnswer, denial, refusal, wait_asked
from delivery.json_reader import read_json
from delivery.text import plain
from tasks.github import answers

VERSION = "2022-11-28"
JSON = "application/vnd.github+json"
TRIES = 4
# A rate limit that lasts longer than this ends the run, whose error says how long.
LONGEST_WAIT_S = 180
PAGE = 100
MOST_PAGES = 100
REMEMBERED = 200
MOST_MOVES = 5
TIMEOUT = httpx.Timeout(20, connect=5)
TRANSFER = httpx.Timeout(120, connect=5)
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

calls: Counter[str] = Counter()
"""Count the requests to GitHub in this process, by method."""

_log = get_logger("prefect.flow_runs")


def github_of(environment: Environment) -> "GitHub":
    """Return the access to GitHub that the environment describes.

    Raises `ConfigurationError` if it names no repository or has no token.
    """
    if not environment.github_repository:
        raise ConfigurationError(
            f"{environment.name} has no github_repository",
            hint="Set it to owner/name in blocks/environments.yaml, then `make register`.",
        )
    token = environment.github_token()
    if not token:
        raise ConfigurationError(
            f"{environment.name} has no credentials for GitHub",
            hint="Run `make register` with GITHUB_TOKEN set (docs/github.md).",
        )
    return _access(environment.github_address.rstrip("/"), environment.github_repository, token)


@lru_cache(maxsize=8)
def _access(address: str, repository: str, token: str) -> "GitHub":
    return GitHub(address, repository, token)


def is_lost(error: Exception) -> bool:
    """Return whether GitHub may have carried out the write that ended with this error."""
    return isinstance(error, AnswerLost)


class _StorageDown(httpx.TransportError):
    """GitHub's storage answered 5xx, which is worth another try."""


def quoted(name: str) -> str:
    """Quote a name from outside as one part of a path."""
    return quote(name, safe="")


class GitHub:
    """Access one repository on GitHub. Paths are relative to it; `/…` is the whole API.

    Every call may raise `AccessDenied` (naming the missing scope, if GitHub does), `NotOnGitHub`,
    `GitHubRefused`, `PlatformBusy` for a rate limit that lasts, or `Unreachable`; a write may also
    raise `AnswerLost`.
    """

    def __init__(
        self,
        address: str,
        repository: str,
        token: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.repository = repository
        self._base = address
        self._token = token
        self._sleep = sleep
        self._seen: dict[str, httpx.Response] = {}
        self._http = httpx.Client(
            headers={
                "Authorization": f"Bearer {token}",
                "Accept": JSON,
                "X-GitHub-Api-Version": VERSION,
                "User-Agent": "kanvaro-delivery",
            },
            timeout=TIMEOUT,
        )

    def read(self, path: str, **query: str | int) -> Any:
        """Return the JSON at a path; by its ETag, so that an unchanged answer costs nothing."""
        return answers.content(self._get(self._address(path, query)))

    def read_all(
        self, path: str, key: str | None = None, most: int = MOST_PAGES * PAGE, **query: str | int
    ) -> list[Any]:
        """Return every entry of a list that comes in pages, but at most `most`.

        `key` names the list in the answer, if the answer is not the list itself.
        """
        found: list[Any] = []
        address: str | None = self._address(path, {"per_page": PAGE, **query})
        for _ in range(MOST_PAGES):
            if address is None or len(found) >= most:
                break
            answer = self._get(address)
            found += answers.list_in(answer, key)
            address = answer.links.get("next", {}).get("url")
        return found[:most]

    def write(self, method: str, path: str, body: Any = None) -> Any:
        """Send a change once; return GitHub's answer, or None if it is empty."""
        answer = self._send(method, self._address(path), json=body)
        return answers.content(answer) if answer.content else None

    def remove(self, path: str) -> None:
        """Delete what is at a path, if it is still there."""
        with suppress(NotOnGitHub):
            self.write("DELETE", path)

    def upload(self, address: str, file: Path, name: str, kind: str) -> Any:
        """Upload an asset to its release's `upload_url`; `kind` is its media type."""
        target = f"{address.partition('{')[0]}?name={quoted(name)}"
        with file.open("rb") as whole:
            answer = self._send(
                "POST",
                target,
                content=whole,
                headers={"Content-Type": kind, "Content-Length": str(file.stat().st_size)},
                timeout=TRANSFER,
            )
        return answers.content(answer)

    def download(self, path: str, into: Path, largest: int) -> None:
        """Write what is at a path, of at most `largest` bytes, to a file.

        GitHub redirects to its storage, which does not get our token.
        """
        for tried in range(TRIES):
            try:
                with self._streamed(self._address(path), largest) as answer:
                    answers.keep(answer, into, largest)
                return
            except AnswerTooLarge:
                raise answers.too_large("GET", path, largest) from None
            except httpx.TransportError as error:
                self._pause(tried, path, type(error).__name__)
        raise _unreachable("GET", path)

    @contextmanager
    def _streamed(self, address: str, largest: int) -> Iterator[httpx.Response]:
        headers = {"Accept": "application/octet-stream"}
        answer = self._asked("GET", address, largest=largest, headers=headers, timeout=TRANSFER)
        if not answer.has_redirect_location:
            yield answer
            return
        target = answer.headers["Location"]
        with httpx.stream("GET", target, timeout=TRANSFER, follow_redirects=True) as stored:
            if stored.is_server_error:
                raise _StorageDown(f"HTTP {stored.status_code}")
            if stored.is_error:
                raise GitHubRefused(f"GitHub's storage answered HTTP {stored.status_code}")
            yield stored

    def _get(self, address: str) -> httpx.Response:
        for _ in range(MOST_MOVES):
            seen = self._seen.get(address)
            headers = {"If-None-Match": seen.headers["ETag"]} if seen else {}
            answer = self._asked("GET", address, headers=headers)
            # httpx counts 304 as a redirect, too, but without a location.
            if not answer.has_redirect_location:
                return self._remembered(address, answer)
            address = str(answer.url.join(answer.headers["Location"]))  # it was renamed
        raise GitHubRefused(
            f"GitHub redirected {urlsplit(address).path} {MOST_MOVES} times",
            hint="Set github_repository to its newest name, then `make register`.",
        )

    def _remembered(self, address: str, answer: httpx.Response) -> httpx.Response:
        seen = self._seen.get(address)
        if answer.status_code == httpx.codes.NOT_MODIFIED and seen:
            return seen
        if "ETag" in answer.headers and len(self._seen) < REMEMBERED:
            self._seen[address] = answer
        return answer

    def _asked(self, method: str, address: str, **request: Any) -> httpx.Response:
        """Ask until there is an answer, at most `TRIES` times."""
        for tried in range(TRIES):
            try:
                answer = self._once(method, address, **request)
            except httpx.TransportError as error:
                self._pause(tried, address, type(error).__name__)
                continue
            if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                return answer
            self._pause(tried, address, f"HTTP {answer.status_code}")
        raise _unreachable(method, address)

    def _send(self, method: str, address: str, **request: Any) -> httpx.Response:
        """Send a change; send it again only if it certainly never arrived."""
        what = f"{method} {urlsplit(address).path}"
        for tried in range(TRIES):
            try:
                answer = self._once(method, address, **request)
            except NOT_SENT as error:
                self._pause(tried, address, type(error).__name__)
                continue
            except httpx.TransportError as error:
                raise AnswerLost(
                    f"GitHub's answer to {what} was lost ({type(error).__name__})"
                ) from None
            if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                raise AnswerLost(f"GitHub answered {what} with HTTP {answer.status_code}")
            if answer.is_redirect:
                raise ConfigurationError(
                    f"{self.repository} has another name on GitHub now",
                    hint="Set github_repository to the new name, then `make register`.",
                )
            return answer
        raise _unreachable(method, address)

    def _once(self, method: str, address: str, **request: Any) -> httpx.Response:
        """Send one request, wait for a rate limit if there is one, and raise a refusal."""
        largest = request.pop("largest", answers.LARGEST_ANSWER)
        waited = 0.0
        while True:
            self._require_github(address)
            calls[method] += 1
            within_s = answers.within_s(is_transfer="timeout" in request)
            try:
                response = whole_answer(self._http, method, address, largest, within_s, **request)
            except AnswerTooLarge:
                raise answers.too_large(method, address, largest) from None
            answer = self._plain(response)
            wait = wait_asked(answer, time.time())
            if wait is None:
                break
            if waited + wait > LONGEST_WAIT_S:
                raise PlatformBusy(
                    f"GitHub's rate limit lasts {wait:.0f} s more: {answer.message}",
                    hint="Run again after that time, or use a GitHub App, which has more.",
                )
            _log.warning("GitHub's rate limit: waiting %.0f s (%s)", wait, answer.message)
            self._sleep(wait)
            waited += wait
        self._judge(method, address, answer)
        return response

    def _judge(self, method: str, address: str, answer: GitHubAnswer) -> None:
        what = f"{method} {urlsplit(address).path}"
        if (denied := denial(what, answer)) is not None:
            raise denied
        if (refused := refusal(what, answer)) is not None:
            raise refused

    def _plain(self, response: httpx.Response) -> GitHubAnswer:
        """Return what decides about an answer; the token is masked in case GitHub repeats it."""
        body: Any = {}
        if response.is_error:
            try:
                body = read_json(response.content)
            except ValueError:
                body = {}
        body = body if isinstance(body, dict) else {}
        message = plain(str(body.get("message", "")).replace(self._token, "[token]"))[:300]
        errors = body.get("errors")
        return GitHubAnswer(
            response.status_code,
            {name.lower(): value for name, value in response.headers.items()},
            message,
            tuple(errors) if isinstance(errors, list) else (),
        )

    def _address(self, path: str, query: dict[str, str | int] | None = None) -> str:
        whole = path if path.startswith("/") else f"/repos/{self.repository}/{path}"
        return str(httpx.URL(f"{self._base}{whole.rstrip('/')}", params=query or None))

    def _require_github(self, address: str) -> None:
        """Refuse an address that is not GitHub's API or its uploads: nobody else gets our token."""
        base, asked = urlsplit(self._base), urlsplit(address)
        uploads = f"uploads.{base.netloc.removeprefix('api.')}"
        if asked.scheme != base.scheme or asked.netloc not in (base.netloc, uploads):
            raise GitHubRefused(
                f"GitHub's answer leads to another host, {plain(asked.netloc)[:100]}",
                hint="Check github_address: is it GitHub's own API?",
            )

    def _pause(self, tried: int, address: str, why: str) -> None:
        if tried + 1 < TRIES:
            _log.warning("GitHub: %s at %s; trying again", why, urlsplit(address).path)
            self._sleep(2.0**tried)


def _unreachable(method: str, address: str) -> Unreachable:
    return Unreachable(f"GitHub did not answer {method} {urlsplit(address).path} {TRIES} times")
