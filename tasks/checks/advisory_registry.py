"""Ask a registry about advisories: the one of npm's settings on this worker, or a given one."""

import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import httpx

from blocks.http_answers import AnswerTooLarge, whole_answer
from delivery.checks.advisories import BULK, Versions, read_advisories
from tasks.checks.scanners import LARGEST_ANSWER, ScanContext

TRIES = 3
BETWEEN_TRIES_S = 1.0
ONE_ANSWER_S = 20.0
# What npm's settings say about reaching a registry: https://docs.npmjs.com/cli/using-npm/config
_SETTINGS = ("registry", "cafile", "strict-ssl", "proxy", "https-proxy", "noproxy")
STAND_IN = "kanvaro-stand-in"


class NotAnswered(Exception):
    """No registry gave an answer; the text says why."""


class Registry:
    """A registry, and how it is reached.

    `was_stand_in` becomes true if what answers says that it stands in for a registry.
    """

    def __init__(self, address: str, settings: Mapping[str, str], context: ScanContext) -> None:
        self._ends = time.monotonic() + context.timeout_s
        self.host = urlsplit(address).netloc.rpartition("@")[2]
        self.was_stand_in = False
        self._address = address.rstrip("/") + BULK
        self._proxy = _proxy(address, settings)
        self._trust = _trust(settings, context.environment)

    def ask(self, context: ScanContext, question: Versions) -> dict[str, list[Mapping[str, Any]]]:
        """Return the advisories about some versions, by package. Raises `NotAnswered`."""
        with httpx.Client(verify=self._trust, proxy=self._proxy, timeout=ONE_ANSWER_S) as client:
            for left in reversed(range(TRIES)):
                if context.stop():
                    raise NotAnswered("it was stopped")
                if time.monotonic() > self._ends:
                    raise NotAnswered(f"no verdict within {context.timeout_s:g} s")
                try:
                    answer = whole_answer(
                        client, "POST", self._address, LARGEST_ANSWER, ONE_ANSWER_S, json=question
                    )
                except AnswerTooLarge as error:
                    raise NotAnswered(f"{self.host} answered {error}") from None
                except httpx.HTTPError as error:
                    why = f"{self.host} cannot be reached ({type(error).__name__}: {error})"
                else:
                    if answer.is_success:
                        return self._read(answer)
                    why = (
                        f"{self.host} answered {answer.status_code} to a question about advisories"
                    )
                    if answer.status_code != 429 and answer.status_code < 500:
                        break
                if left:
                    time.sleep(BETWEEN_TRIES_S)
        raise NotAnswered(why)

    def _read(self, answer: httpx.Response) -> dict[str, list[Mapping[str, Any]]]:
        self.was_stand_in = STAND_IN in answer.headers
        try:
            return read_advisories(answer.content)
        except ValueError as error:
            raise NotAnswered(f"the answer of {self.host} cannot be read: {error}") from None


def registry_of(context: ScanContext, address: str | None) -> Registry:
    """Return the registry with this address; without one, that of npm's settings.

    Raises `NotAnswered` where there is none.
    """
    settings = _npm_settings(context)
    address = address or settings.get("registry", "")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise NotAnswered("npm's settings on this worker name no registry")
    return Registry(address, settings, context)


def _npm_settings(context: ScanContext) -> dict[str, str]:
    """Return what npm says that its settings are, in an empty folder."""
    with TemporaryDirectory(dir=context.logs, prefix="npm-settings-") as empty:
        argv = ("npm", "config", "get", *_SETTINGS)
        answered = context.ask("npm-settings", argv, Path(empty))
    lines = (line.partition("=") for line in answered.text.splitlines())
    return {name: value for name, _, value in lines if value not in ("", "null", "undefined")}


def _proxy(address: str, settings: Mapping[str, str]) -> str | None:
    """Return the proxy of npm's settings; those of the environment are httpx's own affair."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    direct = ("localhost", "127.0.0.1", *settings.get("noproxy", "").split(","))
    names = [each.strip().lstrip(".") for each in direct]
    if any(name and (host == name or host.endswith(f".{name}")) for name in names):
        return None
    plain = settings.get("proxy")
    return settings.get("https-proxy", plain) if parts.scheme == "https" else plain


def _trust(settings: Mapping[str, str], extra: Mapping[str, str]) -> ssl.SSLContext:
    """Trust what npm trusts on this worker."""
    trust = httpx.create_ssl_context(verify=settings.get("strict-ssl") != "false")
    for file in (settings.get("cafile"), extra.get("NODE_EXTRA_CA_CERTS")):
        if file and Path(file).is_file():
            trust.load_verify_locations(file)
    return trust
