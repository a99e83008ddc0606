"""Start everything a delivery talks to, all parts together, and stop it in reverse order.

lock ─┬─ AWS ─┬─ CloudFront
      │       └─────────────┬─ App Runner
      ├─ MongoDB and Redis ─┼─ SMTP and IAM
      │                     └─ secrets and repository
      ├─ Slack, GitHub, Codecov
      └─ advisories
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import TypeVar

from sandbox import addresses
from sandbox.addresses import Addresses, Secrets
from sandbox.advisories import Advisories
from sandbox.app_runner import AppRunner, Containers
from sandbox.aws.access_keys import StrictAccessKeys
from sandbox.aws.aws import Aws
from sandbox.aws.first_secrets import ses_account
from sandbox.aws.ledger_table import ensure_ledger_table
from sandbox.databases.databases import Databases
from sandbox.databases.service_images import ensure_service_images
from sandbox.edge import Distribution, Edge, ensure_distribution
from sandbox.fakes import FakeServices
from sandbox.host.bridge import bridge_address
from sandbox.host.engine import docker_engine
from sandbox.host.machine import Say, say
from sandbox.host.orphans import owner_of
from sandbox.lock import FolderLock
from sandbox.mail.smtp import SmtpServer
from sandbox.parts.part import Part

DEFAULT_FOLDER = Path(".sandbox")
DEFAULT_SPEED = 100.0
IAM_USER = "kanvaro-ses-smtp"
# Exactly those that docs/github.md asks for, so that a client that needs more gets a 403 here, too.
GITHUB_PERMISSIONS = {"contents": "write", "pull_requests": "write", "statuses": "write"}

AnyPart = TypeVar("AnyPart")


class Sandbox(Part):
    """Runs all parts; while it is entered, `addresses` and `secrets` are also files in the folder.

    There is one sandbox per folder. `speed` divides App Runner's durations: at 1 a deployment takes
    minutes. Nothing is left at the end, even if a part failed to start or the run was interrupted.
    Raises AlreadyRunning, EngineUnavailable, SandboxPartFailed.
    """

    addresses: Addresses
    secrets: Secrets
    aws: Aws
    fakes: FakeServices
    advisories: Advisories
    databases: Databases
    smtp: SmtpServer
    access_keys: StrictAccessKeys
    app_runner: AppRunner
    distribution: Distribution
    edge: Edge

    def __init__(
        self,
        folder: Path = DEFAULT_FOLDER,
        *,
        speed: float = DEFAULT_SPEED,
        channels: tuple[str, ...] = ("deployments",),
        say: Say = say,
    ) -> None:
        if speed <= 0:
            raise ValueError("speed must be more than 0")
        self._folder = folder
        self._speed = speed
        self._channels = channels
        self._say = say
        self._bridge = ""
        self._report_lock = threading.Lock()

    def _start(self, stack: ExitStack) -> None:
        stack.enter_context(FolderLock(self._folder))
        addresses.forget(self._folder)
        self._start_parts(stack)
        stack.callback(addresses.forget, self._folder)
        self.addresses, self.secrets = self._addresses(), self._secrets()
        self.secrets.write(self._folder)
        self.addresses.write(self._folder)

    def _start_parts(self, stack: ExitStack) -> None:
        # Leaving the pool waits for parts that are still starting, so an interrupt stops them as
        # well.
        with ThreadPoolExecutor() as pool:

            def start(
                name: str,
                build: Callable[[], AbstractContextManager[AnyPart]],
                where: Callable[[AnyPart], str],
            ) -> Future[AnyPart]:
                return pool.submit(self._enter, stack, name, build, where)

            aws = start("AWS and ECR", Aws, lambda part: part.endpoint)
            fakes = start(
                "Slack, GitHub, Codecov",
                lambda: FakeServices(channels=self._channels),
                lambda p: p.url,
            )
            advisories = start("npm advisories", Advisories, lambda part: part.url)
            databases = start("MongoDB and Redis", self._build_databases, lambda part: part.network)
            self.fakes, self.advisories = fakes.result(), advisories.result()
            self.aws, self.databases = aws.result(), databases.result()
            app_runner = start("App Runner", self._build_app_runner, lambda part: part.url)
            edge = start("CloudFront", self._build_edge, lambda part: part.url)
            # It listens on the bridge, which the application's containers and this machine can both
            # reach.
            smtp = start("SMTP", lambda: SmtpServer(self.databases.gateway), lambda p: p.address)
            self.smtp = smtp.result()
            keys = start("IAM", self._build_access_keys, lambda part: part.url)
            self.access_keys = keys.result()
            self._seed()
            self.app_runner, self.edge = app_runner.result(), edge.result()

    def _enter(
        self,
        stack: ExitStack,
        name: str,
        build: Callable[[], AbstractContextManager[AnyPart]],
        where: Callable[[AnyPart], str],
    ) -> AnyPart:
        began = time.monotonic()
        part = stack.enter_context(build())
        self._report(name, where(part), time.monotonic() - began)
        return part

    def _build_databases(self) -> Databases:
        client = docker_engine(say=self._say).client()
        images = ensure_service_images(client, say=self._say)
        return Databases(client, images, owner_of(self._folder))

    def _build_app_runner(self) -> AppRunner:
        with closing(docker_engine(say=self._say).client()) as client:
            self._bridge = bridge_address(client)
        return AppRunner(
            instances=Containers(
                registry=self.aws.registry,
                network=self.databases.network,
                owner=owner_of(self._folder),
            ),
            time_scale=1 / self._speed,
            account=self.aws.account,
            region=self.aws.region,
            aws_endpoint=self.aws.endpoint,
            also_on=self._bridge,
        )

    def _build_access_keys(self) -> StrictAccessKeys:
        return StrictAccessKeys(self.aws.endpoint, self.smtp)

    def _build_edge(self) -> Edge:
        self.distribution = ensure_distribution(self.aws)
        return Edge(self.aws.endpoint, self.distribution)

    def _seed(self) -> None:
        began = time.monotonic()
        uris, admin = self.databases.uris, self.databases.admin_uris
        server = {"smtp_host": self.smtp.host, "smtp_port": self.smtp.port}
        iam = self.aws.client("iam", self.access_keys.url)
        self.aws.seed(
            mongodb_uri=uris["mongodb"],
            redis_url=uris["redis"],
            admin={"mongodb_uri": admin["mongodb"], "redis_urls": [admin["redis"]]},
            email=ses_account(iam, IAM_USER, self.aws.region, server),
        )
        ensure_ledger_table(self.aws)
        self._report("seed", "ECR kanvaro, secrets kanvaro/*, ledger", time.monotonic() - began)

    def _report(self, name: str, where: str, seconds: float) -> None:
        with self._report_lock:
            self._say(f"  {name:<24} {where:<36} {seconds:5.1f} s")

    def _addresses(self) -> Addresses:
        return Addresses(
            account=self.aws.account,
            region=self.aws.region,
            aws=self.aws.endpoint,
            iam=self.access_keys.url,
            smtp_authorities=str(self.smtp.ca_file),
            app_runner=self.app_runner.url,
            public=self.edge.url,
            edge=self.edge.control_url,
            route_store=self.distribution.store_arn,
            distribution=self.distribution.id,
            registry=self.aws.registry,
            slack=self.fakes.slack_url,
            slack_channel=self._channels[0],
            slack_page=self.fakes.slack_page,
            fakes=self.fakes.url,
            github=self.fakes.github_url,
            codecov=self.fakes.codecov_url,
            advisories=self.advisories.url,
            network=self.databases.network,
            bridge=self._bridge,
            service_images=self.databases.references,
        )

    def _secrets(self) -> Secrets:
        app = self.fakes.github.access.install_app(repositories=None, **GITHUB_PERMISSIONS)
        return Secrets(
            slack_token=self.fakes.slack.token,
            slack_webhook_url=self.fakes.slack_webhook_url,
            github_app=app.app_id,
            github_installation=app.installation,
            github_private_key=app.private_key,
        )
