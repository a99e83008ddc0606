"""Find the router of an environment, and write its route document exactly once."""

import time

from blocks.environment import Environment
from delivery.errors import ConfigurationError, OutcomeUnknown
from delivery.platform.route import Route, require_ours, with_timestamp
from tasks.aws_errors import describe
from tasks.confirmed import aws_is_unclear, confirm_write
from tasks.platform.cloudfront import CloudFront
from tasks.platform.router import Router, VersionedRoute

TRIES = 5
FIRST_PAUSE_S = 0.2


def router_of(environment: Environment) -> Router:
    """Return the router of an environment. Raises `ConfigurationError` if it has none."""
    if environment.router is None:
        raise ConfigurationError(f"{environment.name} has no router, so it has no colours")
    return CloudFront(environment, environment.router)


def write_route(environment: Environment, seen: VersionedRoute, wanted: Route) -> VersionedRoute:
    """Replace the route that was `seen` by `wanted`, exactly once.

    After a lost answer the route is read. The write may be sent again: it is conditional, so that
    it is refused if it was carried out before. Raises `Fenced` if a run with a later lock wrote,
    `OutcomeUnknown` if somebody else did or no try succeeded.
    """
    router = router_of(environment)
    wanted = with_timestamp(wanted, seen.route, time.time())

    def write(now: VersionedRoute) -> VersionedRoute | None:
        etag = router.write(wanted, now.etag)
        return VersionedRoute(wanted, etag) if etag else None

    def is_written(now: VersionedRoute) -> bool:
        if now.route == wanted:
            return True
        require_ours(now.route, wanted.token)
        if now.route != seen.route:
            raise unknown(now, None)
        return False

    def unknown(now: VersionedRoute, error: Exception | None) -> OutcomeUnknown:
        why = describe(error) if error else "the document had changed"
        return OutcomeUnknown(
            f"the route could not be set to “{wanted}”: {why}; it says “{now.route}”",
            hint="Run again: it reads before it writes. `status` says where the traffic goes.",
        )

    return confirm_write(
        seen,
        write,
        router.read,
        is_written,
        aws_is_unclear,
        unknown=unknown,
        tries=TRIES,
        pause_s=lambda tried: FIRST_PAUSE_S * (2 ** (tried + 1) - 1),
    )
