"""Make AWS clients, which is done nowhere else, and limit how often each may try.

Two kinds, because sending twice is harmless for some calls and not for others
(`retry policy` in docs/decisions.md):

* `retrying` may repeat: describing, listing, and writes that carry an idempotency token.
* `sending_once` sends once. After a lost answer its caller reads; nothing is sent again unread.

Everything that botocore would choose by default is set, so that an upgrade changes nothing.

The calls of a flow are made in the flow's own role, if it has one: the role is assumed at the first
call, and again before it expires.
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

RETRYING = Config(
    retries={"mode": "standard", "total_max_attempts": 5},
    connect_timeout=5,
    read_timeout=20,
    tcp_keepalive=True,
)
SENDING_ONCE = Config(
    retries={"mode": "standard", "total_max_attempts": 1},
    connect_timeout=5,
    read_timeout=60,
    tcp_keepalive=True,
)

# These time out sooner: putting traffic back must not wait long for one lost answer. And a role is
# assumed again within any call, even a heartbeat: both must end before the deploy lock expires.
SHORT_TIMEOUTS = {
    "cloudfront-keyvaluestore": Config(read_timeout=5),
    "sts": Config(
        read_timeout=3, connect_timeout=3, retries={"mode": "standard", "total_max_attempts": 3}
    ),
}

# It logs every role that cannot be assumed with its traceback; the error is raised anyway.
getLogger("botocore.credentials").setLevel(ERROR)

# Descriptions of AWS's services, megabytes of JSON, are read once per process, not per client.
_descriptions = Loader()

# A session keeps the block's credentials, so it does not live long. A session in a role does:
# botocore assumes the role again in time, with a new client.
LIFE_S = 900

# The longest session name that AWS accepts; CloudTrail shows it with each call.
LONGEST_SESSION_NAME = 64

calls: Counter[str] = Counter()
"""Count the calls of each AWS operation in this process, as `service:Operation`."""


@dataclass(frozen=True)
class Acting:
    """The run of a flow for which calls are made, and the role it assumes for them, if any."""

    flow: str
    run: str
    role: str | None = None

    @property
    def session_name(self) -> str:
        """Return the name by which AWS's own records show the run."""
        return f"{self.flow}.{self.run}"[:LONGEST_SESSION_NAME]


class Clients:
    """Make the boto3 clients of one set of credentials, each when it is first needed.

    `endpoints` maps a service to the address to use in place of AWS's own. If `acting` has a role,
    the credentials only assume it, and calls are signed as that role. A call raises `AccessDenied`
    if AWS does not allow it.
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
        self._one_at_a_time = Lock()  # making a client is not thread-safe

    def retrying(self, service: str) -> Any:
        """Return a client that may try a call up to five times."""
        return self._client(service, once=False)

    def sending_once(self, service: str) -> Any:
        """Return a client that sends each call exactly once."""
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
        """Return the run that assumes a role, if there is one."""
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
        """Return a client with the credentials of now: somebody may have renewed them."""
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
    """Return a function that assumes the role; botocore calls it first and before expiry."""

    def take() -> dict[str, str]:
        try:
            given = sts().assume_role(RoleArn=acting.role, RoleSessionName=acting.session_name)
        except ClientError as error:
            answer = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if refusal(answer.get("Code", ""), status) is not Refusal.DENIED:
                raise
            text = f"{answer.get('Code')}: {answer.get('Message') or 'no message'}"
            if answer.get("Code") in WHO_ASKS:
                raise AccessDenied(
                    f"AWS does not take the credentials with which {acting.flow} takes its role: "
                    f"{text}",
                    hint="Renew the worker's credentials, then run again: it continues from what "
                    "is there.",
                ) from None
            raise AccessDenied(
                f"AWS does not let {acting.flow} take its role {acting.role}: {text}",
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
    config = SENDING_ONCE if once else RETRYING
    return config.merge(SHORT_TIMEOUTS[service]) if service in SHORT_TIMEOUTS else config


def _count(event_name: str, **_unused: Any) -> None:
    # before-send.<service>.<Operation>: raised once for every request that is sent.
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
