"""The route document of an environment: which router holds it, and writing it exactly once."""

import time

from botocore.exceptions import BotoCoreError, ClientError

from blocks.environment import Environment
from delivery.aws_errors import Refusal
from delivery.errors import ConfigurationError, OutcomeUnknown
from delivery.platform.route import Route, demand_ours, stamped
from tasks.aws_errors import classify, describe
from tasks.platform.cloudfront import CloudFront
from tasks.platform.router import Router, VersionedRoute

TRIES = 5
FIRST_PAUSE_S = 0.2


def router_of(environment: Environment) -> Router:
    """The router of an environment. Raises `ConfigurationError` where it has none."""
    if environment.router is None:
        raise ConfigurationError(f"{environment.name} has no router, so it has no colours")
    return CloudFront(environment, environment.router)


def write_route(environment: Environment, seen: VersionedRoute, wanted: Route) -> VersionedRoute:
    """Put `wanted` in place of the route that was `seen`, exactly once.

    A lost answer is settled by reading, and the write can be sent again: it is refused if it was
    carried out before. Raises `Fenced` if a later lock wrote, `OutcomeUnknown` if it cannot be
    settled.
    """
    demand_ours(seen.route, wanted.token)
    router, last = router_of(environment), ""
    wanted = stamped(wanted, seen.route, time.time())
    for attempt in range(TRIES):
        time.sleep(FIRST_PAUSE_S * (2**attempt - 1))
        try:
            if etag := router.write(wanted, seen.etag):
                return VersionedRoute(wanted, etag)
            last = "the document had changed"
        except (ClientError, BotoCoreError) as error:
            if classify(error) not in (Refusal.TRY_AGAIN, Refusal.OUTCOME_UNKNOWN, Refusal.BUSY):
                raise
            last = describe(error)
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
