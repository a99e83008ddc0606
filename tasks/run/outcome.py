"""The outcome of a run, and the event that says people have been notified of it.

Prefect's server waits for the event, and alerts people itself if it is missing
(deployments/server/automations.py).
"""

from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.events import Event, emit_event

TOLD = "kanvaro.run.told"


def error_of(state: State[Any]) -> BaseException | None:
    """Return the exception that a run ended with, or None where none can be read."""
    try:
        found = state.result(raise_on_failure=False)
    except Exception:  # the exception stayed in a process that is gone
        return None
    return found if isinstance(found, BaseException) else None


def note_told(run: FlowRun, state: State[Any]) -> None:
    """Emit an event once people have been notified; the server alerts if it is missing.

    `state` is the one that the hook was given. The event has its time and follows its event, whose
    id is the state's: so the server
    takes them in this order however they arrive, and whatever the clock of this machine says.
    """
    ended = {"prefect.resource.id": f"prefect.flow-run.{run.id}"}
    emit_event(
        TOLD,
        # A trigger that looks at the message of a state passes over what has none.
        resource={**ended, "prefect.resource.name": run.name, "prefect.state-message": ""},
        related=[
            {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}
            for tag in run.tags
        ],
        occurred=state.timestamp,
        follows=Event(
            id=state.id,
            event=f"prefect.flow-run.{state.name}",
            occurred=state.timestamp,
            resource=ended,
        ),
    )
