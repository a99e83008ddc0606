"""Slack messages of a deployment and of a rollback are written here."""

from collections.abc import Sequence

from delivery.messages import Failure, Message, RunStatus, Subject, failure_message
from delivery.text import counted, duration, escaped


def started(subject: Subject, commit: str, author: str) -> Message:
    return Message(
        RunStatus.UNDER_WAY,
        f"{subject.what} → {subject.environment}: checking",
        (f"“{escaped(commit)}” by {escaped(author)}",),
        _links(subject),
    )


def proven(subject: Subject, reports: Sequence[tuple[str, str]], seconds: float) -> Message:
    """Write the message between the checks and the deployment."""
    told = ", ".join(f"{name} {verdict}" for name, verdict in reports)
    return Message(
        RunStatus.UNDER_WAY,
        f"{subject.what}: {counted(len(reports), 'check')} passed after {duration(seconds)}, "
        "deploying",
        (escaped(told),),
    )


def checked(subject: Subject, seconds: float, why_not_deployed: str) -> Message:
    return Message(
        RunStatus.WELL,
        f"{subject.what}: checks passed in {duration(seconds)}",
        (f"Not deployed: {escaped(why_not_deployed)}",),
        _links(subject),
    )


def deployed(
    subject: Subject, seconds: float, digest: str, address: str, changed: bool, why: str = ""
) -> Message:
    verb = "live in" if changed else "already live in"
    return Message(
        RunStatus.WELL,
        f"{subject.what} is {verb} {subject.environment}, after {duration(seconds)}",
        (f"Proven at {escaped(address)}, as image `{escaped(digest[:19])}`.", *_quoted(why)),
        (*_links(subject), ("application", address)),
    )


def deploying(subject: Subject, reason: str, actor: str) -> Message:
    """Write the first message of a run that puts a version live without checking it anew."""
    return Message(
        RunStatus.UNDER_WAY,
        f"{subject.what} → {subject.environment}: proving it on the idle colour",
        (f"“{escaped(reason)}” ({escaped(actor)})",),
        _links(subject),
    )


def shifted(subject: Subject, share: int, colour: str, proof: str) -> Message:
    """Write the message for each time that more of the traffic was moved."""
    return Message(
        RunStatus.UNDER_WAY,
        f"{subject.what} has {share} % of the traffic of {subject.environment}, on {colour}",
        (f"Through the public name: {escaped(proof)}",),
    )


def question(subject: Subject, asked: str) -> Message:
    """Ask a person to decide, with a link to where that is done."""
    return Message(
        RunStatus.UNDER_WAY,
        f"{subject.what} waits for your decision",
        (escaped(asked), "Answer with *Resume* on the page of the run."),
        _links(subject),
    )


def rolling_back(subject: Subject, steps: Sequence[str], reason: str, actor: str) -> Message:
    """Write what a rollback will do, before it does it."""
    return Message(
        RunStatus.UNDER_WAY,
        f"{subject.environment} goes back to {subject.what}",
        (
            f"“{escaped(reason)}” ({escaped(actor)})",
            "\n".join(f"• {escaped(step)}" for step in steps),
        ),
        _links(subject),
    )


def rolled_back(subject: Subject, seconds: float, address: str, changed: bool, why: str) -> Message:
    verb = "is back on" if changed else "was on already, and stays on"
    return Message(
        RunStatus.WELL,
        f"{subject.environment} {verb} {subject.what}, after {duration(seconds)}",
        (f"Proven at {escaped(address)}.", *_quoted(why)),
        (*_links(subject), ("application", address)),
    )


def failed(subject: Subject, failure: Failure) -> Message:
    return failure_message(f"{subject.what} {_how_far(subject, failure)}", failure, subject.run_url)


def stopped(subject: Subject, how: str, failure: Failure) -> Message:
    told = [f"*Serving now:* {escaped(failure.serving)}"]
    if failure.was_sent:
        told.insert(0, "*What now:* the deployment was sent and goes on without us; look again.")
    return Message(
        RunStatus.STOPPED,
        f"{subject.what} → {subject.environment}: {how}",
        tuple(told),
        _links(subject),
    )


def _how_far(subject: Subject, failure: Failure) -> str:
    if failure.has_traffic:
        return f"has traffic in {subject.environment}, and its run ended before its time"
    if failure.had_traffic:
        return f"met users of {subject.environment} and is not live"
    if failure.was_sent:
        return f"was sent to {subject.environment} and is not proven there"
    return f"did not reach {subject.environment}"


def _quoted(why: str) -> tuple[str, ...]:
    """Repeat who wanted it, and why: the last message replaces the first one, which said so."""
    return (f"“{escaped(why)}”",) if why else ()


def _links(subject: Subject) -> tuple[tuple[str, str], ...]:
    return (("run", subject.run_url),)
