"""Run the pipeline on a laptop: the `ci` flow for any Node application, against the sandbox.

    make ci REPOSITORY=path-or-URL [REVISION=…] [REF=…] [DELIVERY=delivery.toml]

REVISION is a commit, a branch or a tag; it is resolved to a commit once. REF is the branch or tag
that the commit is on, and is found if omitted; one that HEAD does not name is only checked.
DELIVERY is a stage table for a repository that has none. Server and sandbox keep running for the
next time; `make sandbox-stop` stops them.
"""

import os
import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import State, tags
from prefect.client.orchestration import get_client

from blocks.environment import Environment
from blocks.policy import Policy
from delivery.checks.advisories import NOT_ASKED, SCANNER
from delivery.checks.delivery_toml import parse_table
from delivery.checks.table import DEFAULT_TABLE
from delivery.errors import ConfigurationError, DeliveryError, RequestRefused, RolloutFailed
from delivery.text import shortened, text_of
from deployments import ROOT
from deployments.demo.demo import how_to_log_in, prepare_images, start_sandbox, step
from deployments.demo.request import USAGE, CiRequest, Preview, preview, resolve
from deployments.demo.terminal import run_command, shown_in_terminal
from deployments.run_progress import show_summary, summary_of, tell
from deployments.sandbox_environment import sandbox_environment
from deployments.server.processes import standing_server, using
from sandbox import addresses
from sandbox.host.engine import docker_engine
from sandbox.lock import FolderLock, holder
from sandbox.parts.errors import AlreadyRunning
from tasks.platform.health import HEALTH_LINES

FOLDER = ROOT / ".sandbox"
ENVIRONMENT = "laptop"
CHECK_ONLY = 'To check without an image, write in delivery.toml: dockerfile = "none".'
_EXPOSED = re.compile(
    r"^[ \t]*EXPOSE[ \t]+(\d{1,5})(?:/tcp)?[ \t\r]*$", re.IGNORECASE | re.MULTILINE
)
_HIGHEST_PORT = 65535
# Where the sentence of one scanner ends in a cell of the summary.
_CELL_END = re.compile(r" \(allowed|; |\||\n")
_LONGEST_REASON = 200


def main() -> int:
    if not os.environ.get("REPOSITORY"):
        print(f"usage: {USAGE}\n\n{__doc__}", file=sys.stderr)
        return 2
    return run_command(
        "ci",
        lambda: run_on_this_machine(os.environ),
        interrupted="its programs were stopped, the sandbox stays",
        hint_of=_hint,
    )


def run_on_this_machine(given: Mapping[str, str]) -> str:
    """Run the flow in this process and return its last sentence; raises what stopped it."""
    mirrors = FOLDER / "workshop" / "mirrors"
    mirrors.mkdir(mode=0o700, parents=True, exist_ok=True)
    table = _table(given.get("DELIVERY", ""))
    request = resolve(
        given.get("REPOSITORY", ""), given.get("REVISION", ""), given.get("REF", ""), mirrors
    )
    tell(f"{request.revision[:10]} of {request.ref} in {request.repository}")
    for remark in request.remarks:
        tell(f"note: {remark}")
    content = preview(request, table, mirrors, Policy().audit_level)
    for remark in content.plan.remarks:
        tell(f"note: {remark}")
    for name, why in content.plan.not_applicable:
        tell(f"  ➖ {name}: {why}")
    docker_engine()
    with _alone():
        _have_images(content)
        if holder(FOLDER) is None or not addresses.written(FOLDER):
            start_sandbox(FOLDER)
        with step("Prefect server"):
            server = standing_server(FOLDER / ENVIRONMENT)
        with using(server):
            environment = _environment(request, content, table, server.address)
            environment.save(ENVIRONMENT, overwrite=True)
            print(f"Prefect UI {server.address} ({how_to_log_in(server)})\n", flush=True)
            return _run(request)


def _have_images(content: Preview) -> None:
    try:
        prepare_images(content)
    except ConfigurationError as error:
        hint = f"{error.hint} {CHECK_ONLY}" if content.dockerfile else error.hint
        raise ConfigurationError(str(error), hint=hint) from None


def exposed_port(dockerfile: str) -> int | None:
    """Return the port that a Dockerfile exposes, if it names exactly one."""
    found = {int(port) for port in _EXPOSED.findall(dockerfile)}
    port = found.pop() if len(found) == 1 else 0
    return port if 0 < port <= _HIGHEST_PORT else None


def _environment(
    request: CiRequest, content: Preview, table: str | None, ui_address: str
) -> Environment:
    made = sandbox_environment(
        FOLDER, repository=request.repository, name=ENVIRONMENT, ui_address=ui_address
    )
    made.delivery_toml = table
    # An unknown application may answer nothing that tells its colours apart.
    made.strategy, made.public_address = "in-place", None
    made.policy.deploy_ref = request.deploy_ref or request.ref
    # An unknown application may not report its revision; on a laptop, and nowhere else, one that
    # starts and answers is accepted.
    made.policy.answers_revision = False
    # The sandbox's advisories are made up: the registry of npm's settings is asked instead. A trial
    # on a laptop protects nothing, so it may be silent; the report then says that it was not asked.
    made.advisory_registry = None
    made.policy.scanners_that_may_be_absent = ["npm-audit", "snyk"]
    if port := exposed_port(content.dockerfile or ""):
        made.service.port = port
    return made


def _run(request: CiRequest) -> str:
    from flows.ci import ci

    tag = f"laptop-{uuid.uuid4().hex[:8]}"
    with shown_in_terminal(tag), tags(tag):
        state = ci(
            revision=request.revision,
            ref=request.ref,
            repository=request.repository,
            environment=ENVIRONMENT,
            return_state=True,
        )
    run_id, summary = state.state_details.flow_run_id, ""
    if isinstance(run_id, UUID):
        with get_client(sync_client=True) as client:
            summary = summary_of(client, run_id)
            print()
            show_summary(client, run_id)
    return _sentence(state, summary)


def _sentence(state: State[Any], summary: str) -> str:
    """Return how the run ended, and what its summary says was left out; raises what stopped it."""
    ended = state.result(raise_on_failure=False)
    if isinstance(ended, DeliveryError | KeyboardInterrupt):
        raise ended
    if isinstance(ended, BaseException):
        raise DeliveryError(
            f"{type(ended).__name__}: {ended}",
            hint="This was not foreseen: open the run in the Prefect UI and read its log.",
        ) from ended
    _, is_silent, row = summary.partition(f"{SCANNER}: {NOT_ASKED}")
    why = shortened(_CELL_END.split(row, maxsplit=1)[0], _LONGEST_REASON)
    return f"{ended}; {SCANNER}: {NOT_ASKED}{why}" if is_silent else str(ended)


def _hint(error: DeliveryError) -> str:
    if isinstance(error, RolloutFailed) and HEALTH_LINES not in error.hint:
        return (
            f"{error.hint}\nIf it has no health endpoint, say so in delivery.toml: {HEALTH_LINES}"
        )
    return error.hint


@contextmanager
def _alone() -> Iterator[None]:
    """Allow one run at a time: the sandbox has one service and one environment `laptop`."""
    folder = FOLDER / ENVIRONMENT
    try:
        with FolderLock(folder):
            yield
    except AlreadyRunning:
        raise RequestRefused(
            f"another `make ci` is running in this checkout (process {holder(folder)})",
            hint="Run again when it has ended, or use another clone of this repository.",
        ) from None


def _table(path: str) -> str | None:
    """Return the text of the stage table to use, if any. Raises `ConfigurationError`."""
    if not path:
        return None
    try:
        text = text_of(Path(path).expanduser().read_bytes())
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise ConfigurationError(f"DELIVERY={path[:200]!r} cannot be read: {why}") from None
    parse_table(text, DEFAULT_TABLE)
    return text


if __name__ == "__main__":
    sys.exit(main())
