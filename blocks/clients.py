"""AWS clients: the only place where one is made, and how often each may try.

Two kinds, because sending twice is harmless for some calls and not for others
(`retry policy` in docs/decisions.md):

* `reads` may repeat: describing, listing, and writes that carry an idempotency token.
* `writes` sends once. A lost answer is settled by reading, never by sending again.

Everything botocore would choose by default is said, so that an upgrade changes nothing.

What is called for a flow is called in the flow's own role, if there is one: it is taken at the
first call, and taken again before it ends.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from logging import ERROR, getLogger
from threading import Lock
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from boto3 import Session
from botocore.config import Config
from botocore.credentials import DeferredRefreshableCredentials
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from prefect_aws import AwsCredentials

from delivery.aws_errors import WHO_ASKS, Refusal, refusal
from delivery.errors import AccessDenied

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

# What is awaited less long: putting traffic back must not hang on one lost answer. And a role is
# taken again within any call, a heartbeat among them: both must be over before the deploy lock is
# lost.
SOONER = {
    "cloudfront-keyvaluestore": Config(read_timeout=5),
    "sts": Config(
        read_timeout=3, connect_timeout=3, retries={"mode": "standard", "total_max_attempts": 3}
    ),
}

# It logs each role that cannot be taken with its traceback, and raises it, too: we tell it.
getLogger("botocore.credentials").setLevel(ERROR)

# Descriptions of AWS's services, megabytes of JSON, are read once a process and not once a client.
_descriptions = Loader()

# The credentials of a block are fixed for a session's life, so none lives long. One in a role
# does: botocore has the role taken again in time, and what takes it is made anew.
LIFE_S = 900

# What AWS takes as the name of a session; it is what CloudTrail shows of each call.
LONGEST_SESSION_NAME = 64

calls: Counter[str] = Counter()
"""How often each AWS operation was called in this process, as `service:Operation`."""


@dataclass(frozen=True)
class Acting:
    """The run of a flow for which calls are made, and the role it takes for them, if it has one."""

    flow: str
    run: str
    role: str | None = None

    @property
    def session_name(self) -> str:
        """Who acts, as AWS's own records show it."""
        return f"{self.flow}.{self.run}"[:LONGEST_SESSION_NAME]


class Clients:
    """The boto3 clients of one set of credentials, made when first asked for.

    `endpoints` maps a service to the address to use in place of AWS's own. Where `acting` has a
    role, the credentials only take it, and calls are signed as that role. A call raises
    `AccessDenied` if AWS does not let them.
    """

    def __init__(
        self,
        credentials: AwsCredentials,
        region: str,
        endpoints: Mapping[str, str],
        acting: Acting | None = None,
    ) -> None:
        self.acting = acting
        self._credentials = credentials
        self._region = region
        self._endpoints = endpoints
        self._session: Session | None = None
        self._born = 0.0
        self._made: dict[tuple[str, bool], Any] = {}
        self._one_at_a_time = Lock()  # to make a client is not safe in two threads at once

    def reads(self, service: str) -> Any:
        """A client that may try a call up to five times."""
        return self._client(service, once=False)

    def writes(self, service: str) -> Any:
        """A client that sends each call exactly once."""
        return self._client(service, once=True)

    def _client(self, service: str, *, once: bool) -> Any:
        with self._one_at_a_time:
            is_old = time.monotonic() - self._born > LIFE_S
            if self._session is not None and is_old and self._taker is None:
                self._session, self._made = None, {}
            if (service, once) not in self._made:
                if self._session is None:
                    self._session, self._born = self._new_session(), time.monotonic()
                self._made[service, once] = self._new_client(self._session, service, once=once)
            return self._made[service, once]

    @property
    def _taker(self) -> Acting | None:
        """The run that takes a role, if one does."""
        return self.acting if self.acting and self.acting.role is not None else None

    def _new_session(self) -> Session:
        if (taker := self._taker) is None:
            return self._own_session()
        taken = Session(region_name=self._region)
        taken._session.register_component("data_loader", _descriptions)
        taken._session._credentials = DeferredRefreshableCredentials(
            _taking(self._own_sts, taker), "assume-role"
        )
        return taken

    def _own_session(self) -> Session:
        own = self._credentials.get_boto3_session()
        own._session.register_component("data_loader", _descriptions)
        return own

    def _own_sts(self) -> Any:
        """A client with the credentials as they are now: somebody may have renewed them."""
        return self._new_client(self._own_session(), "sts", once=False)

    def _new_client(self, session: Session, service: str, *, once: bool) -> Any:
        client = session.client(
            service,
            region_name=self._region,
            endpoint_url=self._endpoints.get(service),
            config=_config(service, once=once),
        )
        client.meta.events.register("before-send", _count)
        if endpoint := self._endpoints.get(service):
            client.meta.events.register("before-sign", _exactly(endpoint))
        return client


def _taking(sts: Callable[[], Any], acting: Acting) -> Any:
    """What takes the role, as botocore asks for it: at the first call, and before it ends."""

    def take() -> dict[str, str]:
        try:
            given = sts().assume_role(RoleArn=acting.role, RoleSessionName=acting.session_name)
        except ClientError as error:
            answer = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if refusal(answer.get("Code", ""), status) is not Refusal.DENIED:
                raise
            said = f"{answer.get('Code')}: {answer.get('Message') or 'no message'}"
            if answer.get("Code") in WHO_ASKS:
                raise AccessDenied(
                    f"AWS does not take the credentials with which {acting.flow} takes its role: "
                    f"{said}",
                    hint="Renew the worker's credentials, then run again: it goes on from what "
                    "is there.",
                ) from None
            raise AccessDenied(
                f"AWS does not let {acting.flow} take its role {acting.role}: {said}",
                hint="Apply deployments/aws/roles.yaml, with the worker's own role in WorkerArns; "
                "or correct `flow_role` in blocks/environments.yaml and run `make register`.",
            ) from None
        held = given["Credentials"]
        return {
            "access_key": held["AccessKeyId"],
            "secret_key": held["SecretAccessKey"],
            "token": held["SessionToken"],
            "expiry_time": held["Expiration"].isoformat(),
        }

    return take


def _config(service: str, *, once: bool) -> Config:
    config = WRITES if once else READS
    return config.merge(SOONER[service]) if service in SOONER else config


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
