"""The pipeline on a laptop: the `ci` flow for any Node application, against the sandbox.

    make ci REPOSITORY=path-or-URL [REVISION=…] [REF=…] [DELIVERY=delivery.toml]

REVISION may be a commit, a branch or a tag; it is looked up once and from then on a commit. REF is
the branch it is on (the repository's own HEAD unless given). DELIVERY is a stage table for a
repository that brings none. Server and sandbox stay up for the next time: `make sandbox-stop`.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client

from delivery.errors import ConfigurationError, DeliveryError, RequestRefused, UnknownRevision
from delivery.messages import duration
from delivery.source_names import full_ref, is_path, repository_address
from deployments.demo import running_sandbox, step, using
from deployments.following import summary_of
from deployments.processes import prefect_server
from deployments.register import ROOT
from deployments.sandboxed import sandbox_environment
from sandbox.base_images import ensure_base_images
from sandbox.engine import docker_engine

FOLDER = ROOT / ".sandbox"
ENVIRONMENT = "laptop"
SHA = re.compile(r"[0-9a-f]{7,40}")
TO_LIST_S = 60


@dataclass(frozen=True)
class Asked:
    """What to run: an address, a commit, and the ref it is on."""

    repository: str
    revision: str
    ref: str


def main() -> int:
    began = time.monotonic()
    try:
        run_on_this_machine(os.environ)
    except DeliveryError as error:
        print(f"\nci: failed — {error}\n{error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nci: interrupted", file=sys.stderr)
        return 130
    print(f"ci: ok — {duration(time.monotonic() - began)} in all")
    return 0


def run_on_this_machine(given: Mapping[str, str]) -> None:
    """Run the flow in this process, so that its log is seen here. Raises what stopped it."""
    asked = resolved(given.get("REPOSITORY", ""), given.get("REVISION", ""), given.get("REF", ""))
    table = _table(given.get("DELIVERY", ""))
    with ExitStack() as stack:
        stack.enter_context(running_sandbox(FOLDER, keep=True))
        with step("Prefect server"):
            server = stack.enter_context(prefect_server(FOLDER / ENVIRONMENT))
        stack.enter_context(using(server))
        environment = sandbox_environment(
            FOLDER, repository=asked.repository, name=ENVIRONMENT, ui_address=server.address
        )
        environment.delivery_toml = table
        environment.policy.deploy_ref = asked.ref
        # The scanners that need the internet are told so; nothing else is excused.
        environment.save(ENVIRONMENT, overwrite=True)
        prepare_base_images(asked)
        print(f"{asked.revision[:10]} of {asked.ref} in {asked.repository}; UI {server.address}\n")
        with get_client(sync_client=True) as client:
            _run(client, asked)


def resolved(repository: str, revision: str, ref: str) -> Asked:
    """What was asked for, as a commit on a ref; names are looked up, never handed on.

    Raises `RequestRefused`, `UnknownRevision`.
    """
    if not repository:
        raise RequestRefused(
            "no repository is named",
            hint="make ci REPOSITORY=path-or-URL [REVISION=commit, branch or tag] [REF=branch]",
        )
    address = repository_address(repository)
    if is_path(address):
        address = str(Path(address).expanduser().resolve())
    heads = _remote_refs(address)
    on = full_ref(ref) if ref else heads.get("HEAD ref") or "refs/heads/main"
    if not revision:
        revision = on if on in heads else "HEAD"
    if SHA.fullmatch(revision) and revision not in heads:
        return Asked(address, revision, on)
    for name in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
        if name in heads:
            named_ref = name if name.startswith("refs/") and not ref else on
            return Asked(address, heads.get(f"{name}^{{}}", heads[name]), named_ref)
    raise UnknownRevision(f"{address} has no commit, branch or tag {revision!r}")


def prepare_base_images(asked: Asked) -> None:
    """Have what the revision's Dockerfile builds on, where it has one and it can be had."""
    with tempfile.TemporaryDirectory(prefix="kanvaro-dockerfile-") as folder:
        clone = ["git", "clone", "--quiet", "--no-checkout", "--", asked.repository, folder]
        show = ["git", "-C", folder, "show", f"{asked.revision}:Dockerfile"]
        if subprocess.run(clone, stdin=subprocess.DEVNULL, check=False).returncode:
            return  # the flow will say why, in a better sentence
        found = subprocess.run(show, capture_output=True, text=True, check=False)
    if found.returncode:
        return
    client = docker_engine().client()
    try:
        ensure_base_images(client, found.stdout)
    except DeliveryError as error:
        print(f"the image may not be buildable here: {error}", file=sys.stderr)
    finally:
        client.close()


def _run(client: SyncPrefectClient, asked: Asked) -> None:
    from flows.ci import ci

    state = ci(
        revision=asked.revision,
        ref=asked.ref,
        repository=asked.repository,
        environment=ENVIRONMENT,
        return_state=True,
    )
    run_id = state.state_details.flow_run_id
    if isinstance(run_id, UUID):
        print(f"\n{summary_of(client, run_id)}")
    state.result()


def _remote_refs(address: str) -> dict[str, str]:
    """The commit of each ref of a repository, and under `HEAD ref` the branch HEAD names."""
    told = subprocess.run(
        ["git", "ls-remote", "--symref", "--", address],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
        timeout=TO_LIST_S,
        check=False,
    )
    if told.returncode:
        said = told.stderr.strip().splitlines()
        raise UnknownRevision(f"git cannot read {address}: {said[-1] if said else 'no reason'}")
    refs: dict[str, str] = {}
    for line in told.stdout.splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: "):
            refs["HEAD ref"] = value.removeprefix("ref: ")
        else:
            refs[name] = value
    return refs


def _table(path: str) -> str | None:
    if not path:
        return None
    try:
        return Path(path).expanduser().read_text()
    except OSError as error:
        raise ConfigurationError(f"DELIVERY={path} cannot be read: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
