"""Slack messages of `reconcile`: what a killed run left, and what a person has to look at."""

from collections.abc import Sequence

from delivery.messages import Message, Mood
from delivery.text import escaped


def recovered(environment: str, found: Sequence[str], outcome: str) -> Message:
    """Say what a killed run had left, once `reconcile` has recovered it."""
    return Message(
        Mood.STOPPED,
        f"{environment}: what a killed run left half done was recovered",
        ("\n".join(f"• {escaped(each)}" for each in found), f"Now: {escaped(outcome)}"),
    )


def alerts(environment: str, news: Sequence[str], over: Sequence[str]) -> Message:
    """Say what `reconcile` cannot put right, and which earlier alerts are over."""
    mood = Mood.STOPPED if news else Mood.WELL
    headline = "a person has to look" if news else "is as it should be again"
    lines = [
        *(f"• {escaped(each)}" for each in news),
        *(f"• over: {escaped(each)}" for each in over),
    ]
    return Message(mood, f"{environment}: {headline}", ("\n".join(lines),))
