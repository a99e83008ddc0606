"""Where the parts of a running sandbox answer, and the secrets to speak to them with."""

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
    """Every address the blocks need; none of them is a secret.

    `aws` serves all AWS services but IAM and App Runner, `iam` and `app_runner` those.
    `smtp_authorities` is the file of what clients of the SMTP server must trust. `public` is the
    public name of the application: CloudFront's, whose desk is `edge`, whose route document is in
    the key value store `route_store` (an ARN), and whose id is `distribution`. `registry`
    (host:port) takes the place of the account's ECR host. `slack` is a `slack_sdk` base URL,
    `github` stands for https://api.github.com, `codecov` is an upload host, `advisories` an npm
    registry to audit against. `network` is the Docker network of the deployed application and its
    databases.
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
    """What a client of the sandbox must show; made afresh at every start.

    `github_app` is the id of a GitHub App that is installed, as `github_installation`, with no
    more permissions than docs/github.md asks for.
    """

    slack_token: str = field(repr=False)
    slack_webhook_url: str = field(repr=False)
    codecov_token: str = field(default_factory=lambda: secrets.token_hex(18), repr=False)
    github_app: str = ""
    github_installation: int = 0
    github_private_key: str = field(default="", repr=False)

    def write(self, folder: Path) -> None:
        """Write the secrets where only this user can read them."""
        _write(_secrets_file(folder), asdict(self), mode=0o600)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the secrets of the sandbox that runs in the folder; raises ConfigurationError."""
        return cls(**_read(folder, "secrets.json"))


def written(folder: Path) -> bool:
    """Say whether a sandbox of the folder is ready, or was when it was killed."""
    return _addresses_file(folder).exists()


def forget(folder: Path) -> None:
    """Remove both files: whatever they say no longer holds."""
    _addresses_file(folder).unlink(missing_ok=True)
    _secrets_file(folder).unlink(missing_ok=True)


def _addresses_file(folder: Path) -> Path:
    return folder / "addresses.json"


def _secrets_file(folder: Path) -> Path:
    return folder / "secrets.json"


def _write(file: Path, values: dict[str, Any], mode: int) -> None:
    # Complete or not at all: somebody may be waiting for the file to appear.
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
    # The files of a sandbox that was killed are still there.
    if not values or holder(folder) is None:
        raise ConfigurationError(f"No sandbox runs in {folder}.", hint="Start one: make sandbox")
    return values
