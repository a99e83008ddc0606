"""Route with CloudFront: the route document is a key of its KeyValueStore."""

import re
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from blocks.environment import Environment
from blocks.serving import CloudFrontRouter
from delivery.errors import ConfigurationError
from delivery.platform.route import Route, read_route
from tasks.platform.router import VersionedRoute

# The key that deployments/aws/route.js reads.
ROUTE_KEY = "route"
_PRECONDITION = re.compile(r"pre-?condition ?failed", re.IGNORECASE)


class CloudFront:
    """Keep the document in a KeyValueStore, and the default origin at the live colour."""

    def __init__(self, environment: Environment, settings: CloudFrontRouter) -> None:
        self._environment = environment
        self._settings = settings

    def read(self) -> VersionedRoute:
        client = self._environment.retrying("cloudfront-keyvaluestore")
        store = self._settings.route_store
        # The ETag is read first: if the document is newer than it, a write is only refused.
        etag: str = client.describe_key_value_store(KvsARN=store)["ETag"]
        try:
            found = client.get_key(KvsARN=store, Key=ROUTE_KEY)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return VersionedRoute(None, etag)
        return VersionedRoute(read_route(found["Value"]), etag)

    def write(self, route: Route, etag: str) -> str | None:
        client = self._environment.sending_once("cloudfront-keyvaluestore")
        try:
            answer = client.put_key(
                KvsARN=self._settings.route_store,
                Key=ROUTE_KEY,
                Value=route.text(),
                IfMatch=etag,
            )
        except ClientError as error:
            if _is_stale(error):
                return None
            raise
        written: str = answer["ETag"]
        return written

    def set_default_origin(self, host: str, ensure_held: Callable[[], None]) -> bool:
        if self._settings.distribution is None:
            return False
        client = self._environment.retrying("cloudfront")
        answer = client.get_distribution_config(Id=self._settings.distribution)
        configuration = answer["DistributionConfig"]
        if not _lead_to(configuration, host):
            return False
        ensure_held()
        self._environment.sending_once("cloudfront").update_distribution(
            Id=self._settings.distribution,
            IfMatch=answer["ETag"],
            DistributionConfig=configuration,
        )
        return True


def _is_stale(error: ClientError) -> bool:
    """Return whether a write was refused since somebody wrote meanwhile.

    The model has ConflictException for it. SST and alchemy meet a ValidationException, too, whose
    message alone says so.
    """
    code, message = (error.response["Error"].get(part, "") for part in ("Code", "Message"))
    if code in ("ConflictException", "PreconditionFailed"):
        return True
    return code == "ValidationException" and bool(_PRECONDITION.search(message))


def default_origin(environment: Environment, distribution: str) -> str:
    """Return the host to which edges go that cannot read the document."""
    answer = environment.retrying("cloudfront").get_distribution_config(Id=distribution)
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
    """Make `host` the default origin; return whether that was a change."""
    origin = _default_of(configuration)
    name, _, port = host.partition(":")
    settings = origin.get("CustomOriginConfig", {})
    if origin["DomainName"] == name and (not port or settings.get("HTTPPort") == int(port)):
        return False
    origin["DomainName"] = name
    if port:
        settings["HTTPPort"] = int(port)
    return True
