"""Fetch the application's repository, and check one commit out into the run's workspace."""

from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.workspace.source_names import is_on_github
from tasks import operation
from tasks.workspace import checkout
from tasks.workspace.checkout import Source
from tasks.workspace.git import credentials_env
from tasks.workspace.workspace import Workspace


@operation("check out {revision:.10} of {ref}")
def check_out(
    environment: Environment, workspace: Workspace, repository: str, revision: str, ref: str
) -> Source:
    """Check `revision` out, once it is known to be on `ref`.

    Raises `RequestRefused`, `UnknownRevision` or `AccessDenied`.
    """
    return fetch_source(environment, workspace, repository, revision, ref)


def fetch_source(
    environment: Environment, workspace: Workspace, repository: str, revision: str, ref: str
) -> Source:
    """Do what `check_out` does, as part of another step; without a `revision` check out `ref`."""
    address = repository or environment.repository
    found = checkout.check_out(
        address,
        revision,
        ref,
        workspace.source,
        workspace.mirrors,
        credentials_for(environment, address),
    )
    for note in found.notes:
        get_run_logger().warning("%s", note)
    return found


def credentials_for(environment: Environment, address: str) -> dict[str, str]:
    """Return the variables with which git reads a repository; empty where it needs none.

    They are those of `tasks.workspace.git.credentials_env`.
    """
    if not is_on_github(address, environment.github_address):
        # The token belongs to that GitHub: no other host may see it.
        return {}
    token = environment.github_token()
    return credentials_env(address, token) if token else {}
