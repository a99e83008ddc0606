"""Slack messages of `reconcile`: what a killed run left, and what a person has to look at."""

from collections.abc import Sequence

from delivery.messages import Message, RunStatus
from delivery.text import escaped


def recovered(environment: str, found: Sequence[str], outcome: str) -> Message:
    """Say what a killed run had left, once `reconcile` has recovered it."""
    return Message(
        RunStatus.STOPPED,
        f"{environment}: what a killed run left half done was recovered",
        ("\n".join(f"• {escaped(each)}" for each in found), f"Now: {escaped(outcome)}"),
    )


def alerts(environment: str, news: Sequence[str], over: Sequence[str]) -> Message:
    """Say what `reconcile` cannot put right, and which earlier alerts are over."""
    status = RunStatus.STOPPED if news else RunStatus.WELL
    headline = "a person has to look" if news else "is as it should be again"
    lines = [
        *(f"• {escaped(each)}" for each in news),
        *(f"• over: {escaped(each)}" for each in over),
    ]
    return Message(status, f"{environment}: {headline}", ("\n".join(lines),))
