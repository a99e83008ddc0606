"""What a run ended with, and that people were told: an event that Prefect's server waits for.

Where it does not come, the server tells them itself (deployments/server/automations.py).
"""

from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.events import Event, emit_event

TOLD = "kanvaro.run.told"


def error_of(state: State[Any]) -> BaseException | None:
    """The exception that a run ended with, or None where there is none to be read."""
    try:
        found = state.result(raise_on_failure=False)
    except Exception:  # the exception stayed in a process that is gone
        return None
    return found if isinstance(found, BaseException) else None


def note_told(run: FlowRun, state: State[Any]) -> None:
    """Let the server know that people were told; `state` is the one that its hook was given.

    It has the time of that state and follows its event, whose id is the state's: so the server
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
