"""Go back, or deploy a version, by hand: start the run, show its steps, say how it ended.

    make rollback REASON="the cart is empty" [TO=previous] [ENVIRONMENT=production] [FORCE=yes]
    make deploy VERSION=… REASON="…" [ENVIRONMENT=production] [PLAN=yes]

BY names who asks; without it, that is the login on this machine. The run belongs to the server, not
to this command: it goes on if the terminal is closed. The exit code is 0 if the run did what was
asked, 1 if it did not, 2 if it could not be started.
"""

import getpass
import os
import sys
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from pydantic import TypeAdapter, ValidationError

from blocks.environment import Environment
from blocks.parameters import Reason, Registered, Wanted
from delivery.errors import ConfigurationError, DeliveryError, RequestRefused
from delivery.maintenance.status import as_text
from delivery.run.summary import without_stages
from delivery.text import as_markdown, quoted, shortened
from deployments.run_progress import follow, show_markdown, summary_of
from deployments.server.server_access import at_the_server, command
from tasks.maintenance.status import collect_status

USAGE = (__doc__ or "").split("\n\n")[1]
# A deployment waits for others and is watched; nobody waits at a terminal for longer.
LONGEST_S = 6 * 3600
YES = {"yes": True, "1": True, "true": True, "no": False, "0": False, "false": False, "": False}
CTRL_C = 130


def main(asked: str, given: Mapping[str, str]) -> int:
    """Start `rollback` or `deploy` as the variables say, and follow it to its end."""
    flow, parameters = request(asked, given)
    environment = str(parameters["environment"])
    with at_the_server(), get_client(sync_client=True) as client:
        run = start(client, f"{flow}/{environment}", parameters, by=given.get("BY") or _login())
        print(f"{flow}/{environment} is started: {_address(environment, run.id)}", flush=True)
        try:
            ended = follow(client, run.id, print, LONGEST_S)
        except KeyboardInterrupt:
            print(
                f"\nnot followed any further; the run goes on. To end it:\n"
                f"  prefect flow-run cancel {run.id}",
                file=sys.stderr,
            )
            return CTRL_C
        print()
        # Its steps were shown as they ended.
        show_markdown(without_stages(summary_of(client, run.id)) or _last_words(ended))
        _show_what_serves(environment)
    return 0 if ended.state and ended.state.is_completed() else 1


def request(asked: str, given: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """Return the flow and its parameters. Raises `RequestRefused`, naming the variable."""
    environment = _fitting("ENVIRONMENT", Registered, given.get("ENVIRONMENT") or "production")
    reason = _fitting("REASON", Reason, given.get("REASON", ""))
    common = {"environment": environment, "reason": reason}
    if asked == "rollback":
        target = _fitting("TO", Wanted, given.get("TO") or "previous")
        force = _yes("FORCE", given)
        return "rollback", {**common, "target_version": target, "force": force}
    version = _fitting("VERSION", Wanted, given.get("VERSION", ""))
    return "blue-green", {**common, "version": version, "plan": _yes("PLAN", given)}


def start(client: SyncPrefectClient, name: str, parameters: Mapping[str, Any], by: str) -> FlowRun:
    """Start a run of the deployment `name`; the ledger and Slack name `by` as who asked.

    Raises `ConfigurationError` if there is no such deployment, `RequestRefused` if the server does
    not accept the parameters.
    """
    try:
        deployment = client.read_deployment_by_name(name)
    except ObjectNotFound:
        raise ConfigurationError(
            f"the server has no deployment {name}",
            hint="`make register` saves those of prefect.yaml; ENVIRONMENT names another one.",
        ) from None
    try:
        return client.create_flow_run_from_deployment(
            deployment.id, parameters=dict(parameters), tags=[f"by:{shortened(by, 80)}"]
        )
    except PrefectHTTPStatusError as error:
        if error.response.status_code not in (
            httpx.codes.CONFLICT,
            httpx.codes.UNPROCESSABLE_ENTITY,
        ):
            raise
        raise RequestRefused(
            f"the server does not accept that: {shortened(error.response.text, 500)}",
            hint="Does the server know this version of the project? `make register` updates it.",
        ) from None


def _fitting(variable: str, kind: Any, value: str) -> str:
    try:
        return str(TypeAdapter(kind).validate_python(value))
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise RequestRefused(
            f"{variable}={quoted(value)}: {why}" if value else f"{variable} is not given",
            hint=USAGE,
        ) from None


def _yes(variable: str, given: Mapping[str, str]) -> bool:
    value = given.get(variable, "").lower()
    if value not in YES:
        raise RequestRefused(
            f"{variable}={quoted(value)} is neither yes nor no",
            hint=f"Write {variable}=yes, or leave it out.",
        )
    return YES[value]


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # nobody has this number, as in some containers
        return "somebody"


def _address(environment: str, run: UUID) -> str:
    page = Environment.named(environment).ui_address.rstrip("/")
    return f"{page}/runs/flow-run/{run}"


def _last_words(ended: FlowRun) -> str:
    """Return what is known of a run that wrote no summary: one that never began, for instance."""
    state = ended.state
    said = shortened(state.message or "", 2000) if state else ""
    return f"The run ended as {state.name if state else 'unknown'}. {as_markdown(said)}"


def _show_what_serves(environment: str) -> None:
    try:
        seen = collect_status(Environment.named(environment).act_for("status", "by-hand"))
    except DeliveryError as error:
        print(f"what serves now cannot be read from here: {error}\n{error.hint}")
        return
    print(as_text(seen))


if __name__ == "__main__":
    sys.exit(command(sys.argv[1], lambda: main(sys.argv[1], os.environ)))
