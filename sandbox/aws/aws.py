"""Emulate AWS without App Runner: ministack as a child process on a free loopback port.

It serves ECR (a registry that a Docker engine can push to and pull from), Secrets Manager,
DynamoDB, CloudFront's API with its key value stores, CloudWatch with Logs, SNS and STS for one
account and one region. It accepts any credentials. Repository addresses name
`*.dkr.ecr.*.amazonaws.com`, which does not exist here: push to `Aws.registry` instead.
"""

import contextlib
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import httpx

from sandbox.aws.first_secrets import already_there, ensure_secrets
from sandbox.parts import lifeline
from sandbox.parts.errors import SandboxPartFailed
from sandbox.parts.part import Part
from sandbox.parts.ports import LOOPBACK, free_port

ACCOUNT = "000000000000"
REGION = "us-east-1"
ACCESS_KEY = SECRET_KEY = "sandbox"  # noqa: S105 - ministack accepts any

_READY_SECONDS = 30.0
_STOP_SECONDS = 10.0
_SAVE_SECONDS = 60.0  # images are in memory: writing hundreds of megabytes takes a while
_STARTS = 5


class Aws(Part):
    """The emulated account. `endpoint` is for boto3, `registry` for Docker.

    With `state` (a folder) the account is restored at start and saved by an orderly stop; without,
    it starts empty. Raises SandboxPartFailed if it is not ready within 30 seconds.
    """

    account = ACCOUNT
    region = REGION

    def __init__(self, state: Path | None = None) -> None:
        self._state = state
        self._port = 0
        self._identity = secrets.token_hex(8)
        self._program: subprocess.Popen[bytes] | None = None
        self._scratch: Path

    @property
    def registry(self) -> str:
        return f"{LOOPBACK}:{self._port}"

    @property
    def endpoint(self) -> str:
        return f"http://{self.registry}"

    @property
    def pid(self) -> int | None:
        return self._program.pid if self._program else None

    def _start(self, stack: ExitStack) -> None:
        folder = tempfile.TemporaryDirectory(prefix="kanvaro-sandbox-aws-")
        self._scratch = Path(stack.enter_context(folder))
        stack.callback(self._end)
        for _ in range(_STARTS):
            self._port = free_port()
            self._launch()
            if self._is_ready():
                return
            self._end()
            if "already in use" not in self._last_lines():
                break
        raise SandboxPartFailed(f"ministack did not start. Its last lines:\n{self._last_lines()}")

    def _launch(self) -> None:
        with self._log.open("wb") as log:
            self._program = subprocess.Popen(
                lifeline.command("ministack", scratch=str(self._scratch)),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._variables(),
                start_new_session=True,  # Ctrl-C reaches only us; we stop the parts in order
            )

    def _variables(self) -> dict[str, str]:
        scratch = str(self._scratch)
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "MINISTACK_", "LOCALSTACK_"))
        }
        return inherited | {
            "BIND_HOST": LOOPBACK,
            "GATEWAY_PORT": str(self._port),
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            "MINISTACK_EDITION": self._identity,
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # No service that we use runs containers; without an engine ministack removes none
            # either.
            "DOCKER_HOST": "unix:///nonexistent/docker.sock",
            "PERSIST_STATE": "1" if self._state else "0",
            "STATE_DIR": str(self._state.resolve()) if self._state else f"{scratch}/state",
            "S3_DATA_DIR": f"{scratch}/s3",
            "TMPDIR": scratch,
        }

    def _is_ready(self) -> bool:
        assert self._program  # noqa: S101 - narrows the type
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline and self._program.poll() is None:
            with contextlib.suppress(httpx.HTTPError, ValueError):
                health = httpx.get(f"{self.endpoint}/_ministack/health", timeout=2).json()
                # The process that took the port first may be another ministack.
                if health.get("edition") == self._identity:
                    return True
            time.sleep(0.05)
        return False

    def _end(self) -> None:
        if self._program:
            lifeline.end(self._program, _SAVE_SECONDS if self._state else _STOP_SECONDS)
            self._program = None

    @property
    def _log(self) -> Path:
        return self._scratch / "ministack.log"

    def _last_lines(self, count: int = 15) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-count:])

    def check(self) -> None:
        """Raise SandboxPartFailed if ministack has ended by itself."""
        if self._program and self._program.poll() is not None:
            raise SandboxPartFailed(f"ministack has ended. Its last lines:\n{self._last_lines()}")

    def client(self, service: str, endpoint: str = "") -> Any:
        """Return a boto3 client of this account, for the sandbox's own use and for tests."""
        client = boto3.client(
            service,
            endpoint_url=endpoint or self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )
        if service == "cloudfront-keyvaluestore":
            client.meta.events.register("before-sign", self._without_account)
        return client

    def _without_account(self, request: Any, **_: Any) -> None:
        # botocore puts the account before the host, but 000000000000.127.0.0.1 does not exist.
        path = request.url.removeprefix("http://").partition("/")[2]
        request.url = f"{self.endpoint}/{path}"

    def seed(
        self,
        *,
        mongodb_uri: str,
        redis_url: str,
        admin: Mapping[str, Any] | None = None,
        email: Mapping[str, Any] | None = None,
    ) -> None:
        """Create what a real account contains before its first deployment; safe to repeat.

        These are the ECR repository `kanvaro` (immutable tags, scan on push) and the secrets; see
        `sandbox.aws.first_secrets.ensure_secrets`.
        """
        _ensure_repository(self.client("ecr"), "kanvaro")
        database = {"mongodb_uri": mongodb_uri, "redis_url": redis_url}
        ensure_secrets(self.client("secretsmanager"), database, admin=admin, email=email)


def _ensure_repository(ecr: Any, name: str) -> None:
    with already_there("RepositoryAlreadyExistsException"):
        ecr.create_repository(repositoryName=name)
    ecr.put_image_tag_mutability(repositoryName=name, imageTagMutability="IMMUTABLE")
    ecr.put_image_scanning_configuration(
        repositoryName=name, imageScanningConfiguration={"scanOnPush": True}
    )
