"""Ask the application over HTTP: is it ready, and which revision answers?"""

import ssl
import time
from collections.abc import Callable, Mapping
from functools import cache
from urllib.parse import urlsplit

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from blocks.environment import Environment
from blocks.http_answers import AnswerTooLarge, AnswerTooSlow, parts_of
from delivery.errors import (
    ConfigurationError,
    DeliveryError,
    NeverBecameHealthy,
    TimedOut,
)
from delivery.json_reader import read_json
from delivery.patience import Patience, wait_until
from delivery.platform.health import NONE_REQUIRED, HealthAnswer, good_in_a_row
from delivery.platform.service import Service
from delivery.text import plain
from tasks import fact
from tasks.platform.app_runner.service import live_service, no_fence
from tasks.platform.routing import router_of

ONE_ANSWER_S = 5
HEALTH_LINES = '[health] path = "/" and revision = false'
LARGEST_ANSWER = 64_000
SECRETS_UNPROVEN = (
    "Old and new credentials are both still valid, and nothing is retired. Read the application's "
    "log; its health endpoint must name the versions in `secrets`. Then rotate again with the "
    "same rotation_id: the rotation continues at this step."
)
LONGEST_VERSION = 64


@fact("does {environment.name} answer as {revision:.10}?")
def await_revision(
    environment: Environment,
    service: Service,
    revision: str,
    ensure_held: Callable[[], None] = no_fence,
) -> str:
    """Wait for consecutive ready answers of `revision`; return the address they came from.

    If the policy says that the application does not answer its revision, any 200 is ready.
    `ensure_held` is called before each request, and raises if the run may not continue.

    Raises `NeverBecameHealthy`, with the last answer, if they do not come in time.
    """
    expected = revision if environment.policy.answers_revision else None
    return _await_answers(environment, service, expected, revision[:10], NONE_REQUIRED, ensure_held)


@fact("does {environment.name} run with the new secrets?")
def await_secrets(
    environment: Environment,
    service: Service,
    revision: str | None,
    versions: Mapping[str, str],
    ensure_held: Callable[[], None] = no_fence,
) -> str:
    """Wait for consecutive ready answers that name these versions of the secrets.

    Returns the address they came from. With `revision` None any revision may answer. Raises
    `NeverBecameHealthy`, with the last answer, if they do not come in time.
    """
    expected = revision if environment.policy.answers_revision else None
    wanted = "running with the current secrets"
    return _await_answers(environment, service, expected, wanted, versions, ensure_held)


def _await_answers(
    environment: Environment,
    service: Service,
    expected: str | None,
    wanted: str,
    versions: Mapping[str, str],
    ensure_held: Callable[[], None],
) -> str:
    address = _address(environment, service)
    policy = environment.policy
    answers: list[HealthAnswer] = []

    def look() -> str:
        ensure_held()
        answers.append(ask(f"{address}{policy.readiness_path}"))
        running = {kind: answers[-1].secrets.get(kind, "none") for kind in versions}
        return f"{answers[-1]}, with {running}" if running else str(answers[-1])

    try:
        wait_until(
            look,
            lambda _: good_in_a_row(answers, expected, versions) >= policy.healthy_answers,
            Patience(policy.health_timeout_s, policy.answer_interval_s),
            what=f"{policy.healthy_answers} good answers in a row",
        )
    except TimedOut as error:
        url = f"{address}{policy.readiness_path}"
        raise NeverBecameHealthy(
            f"{url} does not answer as {wanted}: {error}",
            hint=SECRETS_UNPROVEN if versions else _hint(answers),
        ) from None
    return address


def _hint(answers: list[HealthAnswer]) -> str | None:
    """Return a hint for an application whose health endpoint reports no revision."""
    if not answers or answers[-1].status not in (200, 404) or answers[-1].revision:
        return None
    return (
        'Let the endpoint answer {"revision": …} as it was built; or name another in '
        f"delivery.toml: {HEALTH_LINES}"
    )


def answer_of(environment: Environment, service: Service) -> HealthAnswer:
    """Return what a service answers about itself at this moment."""
    return ask(f"{_address(environment, service)}{environment.policy.readiness_path}")


def what_serves(environment: Environment) -> str:
    """Describe in a sentence what serves the users now, for messages about failures."""
    try:
        if environment.strategy == "blue-green":
            return _by_the_router(environment)
        service = live_service(environment)
        if service is None:
            return "nothing: there is no service of that name yet"
        if service.is_paused:
            return "nothing: the service is paused"
        answer = answer_of(environment, service)
    except (DeliveryError, BotoCoreError, ClientError) as error:
        return f"unknown: it could not be asked ({type(error).__name__})"
    if service.status == "OPERATION_IN_PROGRESS":
        return (
            f"{answer}; an operation towards {_digest(service.image)} is under way and cannot be "
            "cancelled: look again when it has ended"
        )
    return f"{_digest(service.image)}, which answers {answer}"


def _by_the_router(environment: Environment) -> str:
    route = router_of(environment).read().route
    if route is None:
        return "nothing: no version was ever live"
    address = (environment.public_address or "").rstrip("/")
    answer = ask(f"{address}{environment.policy.readiness_path}")
    return f"{route}; the public name answers {answer}"


def _digest(image: str) -> str:
    return image.rpartition("@")[2][:19]


def _address(environment: Environment, service: Service) -> str:
    address = environment.public_address or f"{environment.service_scheme}://{service.address}"
    if urlsplit(address).scheme not in ("http", "https") or urlsplit(address).username:
        raise ConfigurationError(f"{environment.name} has no usable address: {address!r}")
    return address.rstrip("/")


def ask(url: str, cookies: Mapping[str, str] | None = None) -> HealthAnswer:
    """Ask once, on a new connection: a kept one could belong to the old version."""
    began = time.monotonic()
    try:
        with (
            httpx.Client(
                timeout=ONE_ANSWER_S,
                follow_redirects=False,
                cookies=dict(cookies or {}),
                verify=_trust(),
            ) as client,
            client.stream("GET", url, headers={"Cache-Control": "no-store"}) as response,
        ):
            left_s = began + ONE_ANSWER_S - time.monotonic()
            body = b"".join(parts_of(response, LARGEST_ANSWER, left_s))
    except (AnswerTooLarge, AnswerTooSlow) as error:
        return HealthAnswer(response.status_code, None, _since(began), str(error))
    except httpx.HTTPError as error:
        return HealthAnswer(0, None, _since(began), type(error).__name__)
    return _read(response.status_code, body, _since(began))


@cache
def _trust() -> ssl.SSLContext:
    """Return all trusted certificates, read once: reading them takes longer than a request."""
    return httpx.create_ssl_context()


def _read(status: int, body: bytes, milliseconds: float) -> HealthAnswer:
    """Read the revision, the parts that are not ready, and the versions of the secrets."""
    try:
        said = read_json(body)
    except ValueError:
        return HealthAnswer(status, None, milliseconds, "not JSON")
    if not isinstance(said, dict):
        return HealthAnswer(status, None, milliseconds, "not an object")
    revision, checks = said.get("revision"), said.get("checks")
    unready = [
        str(name)
        for name, check in (checks.items() if isinstance(checks, dict) else ())
        if isinstance(check, dict) and check.get("ok") is False
    ]
    return HealthAnswer(
        status,
        revision if isinstance(revision, str) else None,
        milliseconds,
        plain(f"not ready: {', '.join(unready)}")[:100] if unready else "",
        _versions(said.get("secrets")),
    )


def _versions(said: object) -> dict[str, str]:
    """Return the ids of versions by kind of secret; skip anything that is no plain id."""
    return {
        str(kind): plain(version)[:LONGEST_VERSION]
        for kind, version in (said.items() if isinstance(said, dict) else ())
        if isinstance(version, str)
    }


def _since(began: float) -> float:
    return (time.monotonic() - began) * 1000
