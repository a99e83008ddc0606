"""Write and read the addresses of a running sandbox, and the secrets to use them with."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from delivery.errors import ConfigurationError
from sandbox.lock import holder


@dataclass(frozen=True)
class Addresses:
    """Every address that the blocks need; none of them is a secret.

    `aws` serves all AWS services except IAM and App Runner, which `iam` and `app_runner` serve.
    `smtp_authorities` is a file with the certificates that clients of the SMTP server must trust.
    `public` is the public name of the application, which CloudFront serves; `edge` is CloudFront's
    control endpoint, `route_store` the ARN of the key value store with its route document, and
    `distribution` its id. `registry` (host:port) stands for the account's ECR host. `slack` is a
    `slack_sdk` base URL, `github` stands for https://api.github.com, `codecov` is an upload host,
    `advisories` an npm registry to audit against. `network` is the Docker network that the deployed
    application and its databases share. `bridge` is the address at which containers reach App
    Runner's services, whose own address is on the loopback; empty if there is none.
    """

    account: str
    region: str
    aws: str
    iam: str
    smtp_authorities: str
    app_runner: str
    public: str
    edge: str
    route_store: str
    distribution: str
    registry: str
    slack: str
    slack_channel: str
    slack_page: str
    fakes: str
    github: str
    codecov: str
    advisories: str
    network: str
    bridge: str = ""
    service_images: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        _write(_addresses_file(folder), asdict(self), mode=0o644)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the addresses of the sandbox that runs in the folder.

        Raises ConfigurationError when none does.
        """
        return cls(**_read(folder, "addresses.json"))


@dataclass(frozen=True)
class Secrets:
    """Credentials that clients of the sandbox need, made anew at every start.

    `github_app` is the id of a GitHub App, installed as `github_installation`, that has only the
    permissions that docs/github.md asks for.
    """

    slack_token: str = field(repr=False)
    slack_webhook_url: str = field(repr=False)
    codecov_token: str = field(default_factory=lambda: secrets.token_hex(18), repr=False)
    github_app: str = ""
    github_installation: int = 0
    github_private_key: str = field(default="", repr=False)

    def write(self, folder: Path) -> None:
        """Write the secrets to a file that only this user can read."""
        _write(_secrets_file(folder), asdict(self), mode=0o600)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the secrets of the sandbox that runs in the folder; raises ConfigurationError."""
        return cls(**_read(folder, "secrets.json"))


def written(folder: Path) -> bool:
    """Return whether a sandbox of the folder is ready, or was ready when it was killed."""
    return _addresses_file(folder).exists()


def forget(folder: Path) -> None:
    """Remove both files, since what they contain is no longer true."""
    _addresses_file(folder).unlink(missing_ok=True)
    _secrets_file(folder).unlink(missing_ok=True)


def _addresses_file(folder: Path) -> Path:
    return folder / "addresses.json"


def _secrets_file(folder: Path) -> Path:
    return folder / "secrets.json"


def _write(file: Path, values: dict[str, Any], mode: int) -> None:
    # Written completely or not at all: another process may wait for the file to appear.
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as handle:
        json.dump(values, handle, indent=2)
        handle.write("\n")
    draft.replace(file)


def _read(folder: Path, name: str) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads((folder / name).read_text())
    except FileNotFoundError:
        values = {}
    # A killed sandbox leaves its files behind.
    if not values or holder(folder) is None:
        raise ConfigurationError(f"No sandbox runs in {folder}.", hint="Start one: make sandbox")
    return values
