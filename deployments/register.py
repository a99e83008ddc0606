"""Set up a Prefect server: work pool, blocks, deployments. Safe to repeat.

    make register                      production and the others of blocks/environments.yaml
    POOL=docker make register          the same on containers (deployments/server/work_pools.py)
    python -m deployments.register --sandbox .sandbox     `production` in the sandbox instead

Tokens are read from the environment and stored in blocks; a token that is not set leaves the stored
one unchanged:

    SLACK_BOT_TOKEN   GITHUB_TOKEN   SNYK_TOKEN   CODECOV_TOKEN
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import httpx
import yaml
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from prefect_github import GitHubCredentials
from prefect_slack import SlackCredentials
from pydantic import ValidationError

from blocks.environment import Environment
from delivery.errors import ConfigurationError
from deployments import ROOT
from deployments.sandbox_environment import sandbox_environment
from deployments.server.automations import ensure_automations
from deployments.server.server_access import at_the_server, command
from deployments.server.work_pools import POOL, ensure_pool, folder_of_flows

BY_HAND = ("aws", "docker", "github_app")
CREDENTIALS = "kanvaro"  # name of the vendors' blocks with our tokens
DEFINITIONS = ROOT / "blocks" / "environments.yaml"

Kind = TypeVar("Kind", bound=Block)
Say = Callable[[str], None]


def register(environments: Mapping[str, Environment], say: Say = print) -> None:
    """Save the pool, the environments, the deployments of prefect.yaml and the automations.

    The automations post in the channel of the first environment. POOL chooses the type of the pool;
    without it, an existing one stays unchanged.
    """
    kind, done = ensure_pool(os.environ.get("POOL", ""), os.environ)
    say(f"work pool {POOL}: {done}")
    for name, environment in environments.items():
        environment.save(name, overwrite=True)
        say(f"environment {name}: saved")
    deploy_all(folder_of_flows(kind, ROOT, os.environ))
    say("deployments of prefect.yaml: saved")
    for name, missing in pause_without_environment():
        say(f"{name}: paused, since no environment is registered as {missing!r}")
    if environments:  # the people on call read the channel of the first environment
        say(f"automations: {ensure_automations(*environments.values())}")


def environments_of(text: str, tokens: Mapping[str, str]) -> dict[str, Environment]:
    """Return the environments that a YAML document describes, with credentials from `tokens`.

    Missing credentials are taken from the server, if it has them. Raises `ConfigurationError`,
    naming the setting, if the document is invalid.
    """
    described = yaml.safe_load(text)
    if not isinstance(described, dict) or not described:
        raise ConfigurationError("the document describes no environments")
    return {name: _environment(name, settings, tokens) for name, settings in described.items()}


def require_local_server() -> None:
    """Raise `ConfigurationError` unless the server is on this machine."""
    host = urlsplit(PREFECT_API_URL.value() or "").hostname
    if host not in ("127.0.0.1", "localhost", "::1"):
        raise ConfigurationError(
            f"the sandbox would replace `production` on {host or 'an unnamed server'}",
            hint="Set PREFECT_API_URL to a server on this machine.",
        )


def deploy_all(folder: str = str(ROOT)) -> None:
    """Apply prefect.yaml for flows that a run finds in `folder`.

    Raises `ConfigurationError` with the last lines of Prefect's output.
    """
    result = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=ROOT,
        env={**os.environ, "KANVARO_CHECKOUT": folder},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode or "Skipping deployment" in result.stdout:
        tail = "\n".join((result.stdout + result.stderr).strip().splitlines()[-15:])
        raise ConfigurationError(f"prefect.yaml was not applied:\n{tail}")


def pause_without_environment() -> list[tuple[str, str]]:
    """Pause schedules of deployments whose environment is not registered; return both names.

    Such runs would only fail, every ten minutes. Without any environment nothing is paused.
    Registering never resumes a deployment: somebody may have paused it on purpose, and resuming is
    one click.
    """
    paused = []
    with get_client(sync_client=True) as client:
        if not (known := _known_environments(client)):
            return []
        flows = {flow.id: flow.name for flow in client.read_flows()}
        for deployment in client.read_deployments(limit=200):
            named = str(deployment.parameters.get("environment", ""))
            if deployment.schedules and named not in known:
                client.pause_deployment(deployment.id)
                paused.append((f"{flows[deployment.flow_id]}/{deployment.name}", named))
    return sorted(paused)


def _known_environments(client: SyncPrefectClient) -> set[str]:
    """Return the names of the environments that the server has."""
    slug = Environment.get_block_type_slug()
    try:
        return {str(each.name) for each in client.read_block_documents_by_type(slug)}
    except PrefectHTTPStatusError as error:
        if (
            error.response.status_code == httpx.codes.NOT_FOUND
        ):  # the server does not even know their type
            return set()
        raise


def _environment(name: str, settings: Any, tokens: Mapping[str, str]) -> Environment:
    if not isinstance(settings, dict):
        raise ConfigurationError(f"environment {name!r} must be a map of settings")
    if unknown := settings.keys() - Environment.model_fields.keys():
        raise ConfigurationError(f"environment {name!r} has unknown settings: {sorted(unknown)}")
    try:
        return Environment(name=name, **{**_credentials(name, tokens), **settings})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"environment {name!r}: {where}: {first['msg']}") from None


def _credentials(name: str, tokens: Mapping[str, str]) -> dict[str, Any]:
    stored = _loaded(Environment, name)
    github = _saved_or_stored(GitHubCredentials, tokens.get("GITHUB_TOKEN"))
    return {
        "slack": _saved_or_stored(SlackCredentials, tokens.get("SLACK_BOT_TOKEN")),
        "github": CREDENTIALS if github else None,
        "snyk_token": tokens.get("SNYK_TOKEN") or (stored and stored.snyk_token),
        "codecov_token": tokens.get("CODECOV_TOKEN") or (stored and stored.codecov_token),
        # A person sets these in the UI, if at all: identities at AWS and GitHub, and the build
        # engine.
        **({each: getattr(stored, each) for each in BY_HAND} if stored else {}),
    }


def _saved_or_stored(kind: type[Kind], token: str | None) -> Kind | None:
    """Return credentials of that kind, newly saved if a token is given, else from the server."""
    if token:
        kind(token=token).save(CREDENTIALS, overwrite=True)
    return _loaded(kind, CREDENTIALS)


def _loaded(kind: type[Kind], name: str) -> Kind | None:
    try:
        return cast(Kind, kind.load(name))
    except ValueError:
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description="Save blocks and deployments on a server.")
    parser.add_argument("--sandbox", type=Path, help="folder of a running sandbox")
    parser.add_argument("--repository", help="with --sandbox: the application's repository")
    given = parser.parse_args()
    return command("register", lambda: _register(given.sandbox, given.repository or "."))


def _register(sandbox: Path | None, repository: str) -> int:
    with at_the_server():
        if sandbox:
            require_local_server()
            environment = sandbox_environment(sandbox, repository=repository)
            register({environment.name: environment})
        else:
            register(environments_of(DEFINITIONS.read_text(), os.environ))
    return 0


if __name__ == "__main__":
    sys.exit(main())
