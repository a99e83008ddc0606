"""AWS clients: the only place where one is made, and how often each may try.

Two kinds, because sending twice is harmless for some calls and not for others
(`retry policy` in docs/decisions.md):

* `reads` may repeat: describing, listing, and writes that carry an idempotency token.
* `writes` sends once. A lost answer is settled by reading, never by sending again.

Everything botocore would choose by default is said, so that an upgrade changes nothing.
"""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from botocore.config import Config
from botocore.loaders import Loader
from prefect_aws import AwsCredentials

READS = Config(
    retries={"mode": "standard", "total_max_attempts": 5},
    connect_timeout=5,
    read_timeout=20,
    tcp_keepalive=True,
)
WRITES = Config(
    retries={"mode": "standard", "total_max_attempts": 1},
    connect_timeout=5,
    read_timeout=60,
    tcp_keepalive=True,
)

# What is awaited less long: putting traffic back must not hang on one lost answer.
READ_TIMEOUT_S = {"cloudfront-keyvaluestore": 5}

# Descriptions of AWS's services, megabytes of JSON, are read once a process and not once a client.
_descriptions = Loader()

# Credentials of an assumed role are fixed for a client's life, so no client lives long.
LIFE_S = 900

calls: Counter[str] = Counter()
"""How often each AWS operation was called in this process, as `service:Operation`."""


class Clients:
    """The boto3 clients of one set of credentials, made when first asked for.

    `endpoints` maps a service to the address to use in place of AWS's own.
    """

    def __init__(
        self, credentials: AwsCredentials, region: str, endpoints: Mapping[str, str]
    ) -> None:
        self._credentials = credentials
        self._region = region
        self._endpoints = endpoints
        self._made: dict[tuple[str, bool], tuple[float, Any]] = {}

    def reads(self, service: str) -> Any:
        """A client that may try a call up to five times."""
        return self._client(service, once=False)

    def writes(self, service: str) -> Any:
        """A client that sends each call exactly once."""
        return self._client(service, once=True)

    def _client(self, service: str, *, once: bool) -> Any:
        born, client = self._made.get((service, once), (0.0, None))
        if client is None or time.monotonic() - born > LIFE_S:
            session = self._credentials.get_boto3_session()
            session._session.register_component("data_loader", _descriptions)
            client = session.client(
                service,
                region_name=self._region,
                endpoint_url=self._endpoints.get(service),
                config=_config(service, once=once),
            )
            client.meta.events.register("before-send", _count)
            if endpoint := self._endpoints.get(service):
                client.meta.events.register("before-sign", _exactly(endpoint))
            self._made[service, once] = (time.monotonic(), client)
        return client


def _config(service: str, *, once: bool) -> Config:
    config = WRITES if once else READS
    if service in READ_TIMEOUT_S:
        config = config.merge(Config(read_timeout=READ_TIMEOUT_S[service]))
    return config


def _count(event_name: str, **_unused: Any) -> None:
    # before-send.<service>.<Operation>: raised once for every request that leaves.
    _, service, operation = event_name.split(".", 2)
    calls[f"{service}:{operation}"] += 1


def _exactly(endpoint: str) -> Any:
    """Keep the host of an address that replaces AWS's own.

    botocore puts the account in front of the host for some services, such as CloudFront's
    KeyValueStore, and that name exists at AWS only.
    """
    host = urlsplit(endpoint).netloc

    def rewrite(request: Any, **_unused: Any) -> None:
        request.url = urlunsplit(urlsplit(request.url)._replace(netloc=host))

    return rewrite
