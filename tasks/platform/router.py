"""The router: what decides which colour the public name leads to.

A router reads the route document together with its ETag, and writes one in its place only if
nothing was written since. CloudFront with a function and a KeyValueStore is the one there is; an
Application Load Balancer would be another `Router` beside it.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from blocks.environment import Environment
from blocks.serving import CloudFrontRouter
from delivery.aws_errors import Refusal
from delivery.errors import ConfigurationError, OutcomeUnknown
from delivery.platform.route import Route, demand_ours, read_route, stamped
from tasks.aws_errors import meaning, said

TRIES = 5
FIRST_PAUSE_S = 0.2
# The key that deployments/aws/route.js reads.
ROUTE_KEY = "route"


class Seen(NamedTuple):
    """The route as it was read, None where there is none yet, and the ETag of that moment."""

    route: Route | None
    etag: str


class Router(Protocol):
    """Where the route document of one environment lives."""

    def read(self) -> Seen: ...

    def write(self, route: Route, etag: str) -> str | None:
        """Put the document in place of the one of `etag`, and return the new ETag.

        None if that one is there no more.
        """

    def keep_default(self, host: str, demand: Callable[[], None]) -> bool:
        """Lead edges that cannot read the document to `host`; whether that was a change.

        `demand` is called between reading and writing, which is refused if another wrote since.
        """


class CloudFront:
    """The document as a key of a KeyValueStore; the default origin of the distribution."""

    def __init__(self, environment: Environment, settings: CloudFrontRouter) -> None:
        self._environment = environment
        self._settings = settings

    def read(self) -> Seen:
        client = self._environment.reads("cloudfront-keyvaluestore")
        store = self._settings.route_store
        # The ETag first: were the document newer than it, a write would only be refused.
        etag: str = client.describe_key_value_store(KvsARN=store)["ETag"]
        try:
            found = client.get_key(KvsARN=store, Key=ROUTE_KEY)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return Seen(None, etag)
        return Seen(read_route(found["Value"]), etag)

    def write(self, route: Route, etag: str) -> str | None:
        client = self._environment.writes("cloudfront-keyvaluestore")
        try:
            answer = client.put_key(
                KvsARN=self._settings.route_store,
                Key=ROUTE_KEY,
                Value=route.text(),
                IfMatch=etag,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in ("ConflictException", "PreconditionFailed"):
                return None
            raise
        written: str = answer["ETag"]
        return written

    def keep_default(self, host: str, demand: Callable[[], None]) -> bool:
        if self._settings.distribution is None:
            return False
        client = self._environment.reads("cloudfront")
        answer = client.get_distribution_config(Id=self._settings.distribution)
        configuration = answer["DistributionConfig"]
        if not _lead_to(configuration, host):
            return False
        demand()
        self._environment.writes("cloudfront").update_distribution(
            Id=self._settings.distribution,
            IfMatch=answer["ETag"],
            DistributionConfig=configuration,
        )
        return True


def router_of(environment: Environment) -> Router:
    """The router of an environment. Raises `ConfigurationError` where it has none."""
    if environment.router is None:
        raise ConfigurationError(f"{environment.name} has no router, so it has no colours")
    return CloudFront(environment, environment.router)


def write_route(environment: Environment, seen: Seen, wanted: Route) -> Seen:
    """Put `wanted` in place of the route that was `seen`, exactly once.

    A lost answer is settled by reading, and the write can be sent again: it is refused if it was
    carried out before. Raises `Fenced` if a later turn wrote, `OutcomeUnknown` if it cannot be
    settled.
    """
    demand_ours(seen.route, wanted.token)
    router, last = router_of(environment), ""
    wanted = stamped(wanted, seen.route, time.time())
    for attempt in range(TRIES):
        time.sleep(FIRST_PAUSE_S * (2**attempt - 1))
        try:
            if etag := router.write(wanted, seen.etag):
                return Seen(wanted, etag)
            last = "the document had changed"
        except (ClientError, BotoCoreError) as error:
            if meaning(error) not in (Refusal.TRY_AGAIN, Refusal.OUTCOME_UNKNOWN, Refusal.BUSY):
                raise
            last = said(error)
        now = router.read()
        if now.route == wanted:
            return now
        demand_ours(now.route, wanted.token)
        if now.route != seen.route:
            break
        seen = now
    raise OutcomeUnknown(
        f"the route could not be set to “{wanted}”: {last}; it says “{now.route}”",
        hint="Run again: it reads before it writes. `status` says where the traffic goes.",
    )


def default_origin(environment: Environment, distribution: str) -> str:
    """The host that a distribution leads edges to which cannot read the document."""
    answer = environment.reads("cloudfront").get_distribution_config(Id=distribution)
    return str(_default_of(answer["DistributionConfig"])["DomainName"])


def _default_of(configuration: dict[str, Any]) -> dict[str, Any]:
    wanted = configuration["DefaultCacheBehavior"]["TargetOriginId"]
    named: list[dict[str, Any]] = [
        each for each in configuration["Origins"]["Items"] if each["Id"] == wanted
    ]
    if len(named) != 1:
        raise ConfigurationError(f"the distribution's default origin {wanted!r} is a group")
    return named[0]


def _lead_to(configuration: dict[str, Any], host: str) -> bool:
    """Make the default origin that of `host`; whether that was a change."""
    origin = _default_of(configuration)
    name, _, port = host.partition(":")
    settings = origin.get("CustomOriginConfig", {})
    if origin["DomainName"] == name and (not port or settings.get("HTTPPort") == int(port)):
        return False
    origin["DomainName"] = name
    if port:
        settings["HTTPPort"] = int(port)
    return True
