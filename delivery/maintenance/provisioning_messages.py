"""Slack messages of a run that provisions."""

from collections.abc import Sequence

from delivery.messages import Failure, Message, RunStatus, failure_message
from delivery.text import duration, escaped


def provisioning(environment: str, stacks: str, why: str, actor: str, run_url: str) -> Message:
    """Open the thread, before anything is planned."""
    return Message(
        RunStatus.UNDER_WAY,
        f"{environment}: looking at the stacks {stacks}",
        (f"“{escaped(why)}” ({escaped(actor)})",),
        (("run", run_url),),
    )


def may_be_lost(environment: str, losses: Sequence[str], run_url: str) -> Message:
    """Ask a person whether what is named may be replaced or removed."""
    return Message(
        RunStatus.UNDER_WAY,
        f"{environment}: provisioning waits for your decision",
        (
            "\n".join(f"• {escaped(each)}" for each in losses),
            "The whole plan is in the artifact `plan`. Answer with *Resume* on the page of the "
            "run.",
        ),
        (("run", run_url),),
    )


def provisioned(environment: str, done: Sequence[str], seconds: float, run_url: str) -> Message:
    """Conclude a run that succeeded: what was done, and what a person has to write."""
    return Message(
        RunStatus.WELL,
        f"{environment}: provisioned in {duration(seconds)}",
        ("\n".join(f"• {escaped(each)}" for each in done),),
        (("run", run_url),),
    )


def provisioning_failed(environment: str, failure: Failure, run_url: str) -> Message:
    """Say why a run failed; posted by its hook."""
    return failure_message(f"{environment}: provisioning stopped", failure, run_url)
