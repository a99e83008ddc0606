"""What we say about a run, as text and as Slack blocks.

Everything that came from outside (subjects, refs, error texts) is escaped, so
that a commit message can neither ping a channel nor forge a link.
Block Kit's limits: https://docs.slack.dev/reference/block-kit/blocks.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

LONGEST_SECTION = 2900
# What a terminal obeys, and what turns the text after it round.
_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


class Mood(StrEnum):
    """How a run stands, with the sign that people scan a channel for."""

    UNDER_WAY = "⏳"
    WELL = "✅"
    FAILED = "🔴"
    STOPPED = "⚪"


@dataclass(frozen=True)
class Subject:
    """What a run is about: the same few facts in each of its messages."""

    environment: str
    revision: str
    ref: str
    run_url: str

    @property
    def what(self) -> str:
        branch = self.ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
        return f"{self.revision[:10]} of {branch}"


@dataclass(frozen=True)
class Failure:
    """Why a run did not succeed: the stage, what it said, what to do, what serves now.

    `was_sent` says that App Runner was told in place of the new version before, `has_traffic` that
    users meet it still, `had_traffic` that they met it until the traffic was put back.
    """

    stage: str
    reason: str
    hint: str
    serving: str
    was_sent: bool = False
    had_traffic: bool = False
    has_traffic: bool = False


@dataclass(frozen=True)
class Message:
    """One message: a headline for the channel, paragraphs, and small print with links."""

    mood: Mood
    headline: str
    paragraphs: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """The message where blocks are not shown, such as in a notification."""
        return f"{self.mood} {plain(self.headline)}"

    @property
    def in_short(self) -> "Message":
        """The headline with its links: what the channel shows of a thread."""
        return replace(self, paragraphs=())

    def blocks(self) -> list[dict[str, object]]:
        """The message in Block Kit."""
        told = [f"{self.mood} *{escaped(self.headline)}*", *self.paragraphs]
        blocks: list[dict[str, object]] = [
            {"type": "section", "text": {"type": "mrkdwn", "text": each[:LONGEST_SECTION]}}
            for each in told
        ]
        if self.links:
            small = "  ·  ".join(f"<{address}|{escaped(name)}>" for name, address in self.links)
            blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": small}]})
        return blocks


def started(subject: Subject, commit: str, author: str) -> Message:
    return Message(
        Mood.UNDER_WAY,
        f"{subject.what} → {subject.environment}: checking",
        (f"“{escaped(commit)}” by {escaped(author)}",),
        _links(subject),
    )


def proven(subject: Subject, reports: Sequence[tuple[str, str]], seconds: float) -> Message:
    """Said in the thread between the checks and the deployment."""
    told = ", ".join(f"{name} {verdict}" for name, verdict in reports)
    return Message(
        Mood.UNDER_WAY,
        f"{subject.what}: {counted(len(reports), 'check')} passed after {duration(seconds)}, "
        "deploying",
        (escaped(told),),
    )


def checked(subject: Subject, seconds: float, why_not_deployed: str) -> Message:
    return Message(
        Mood.WELL,
        f"{subject.what}: checks passed in {duration(seconds)}",
        (f"Not deployed: {escaped(why_not_deployed)}",),
        _links(subject),
    )


def deployed(
    subject: Subject, seconds: float, digest: str, address: str, changed: bool, why: str = ""
) -> Message:
    verb = "live in" if changed else "already live in"
    return Message(
        Mood.WELL,
        f"{subject.what} is {verb} {subject.environment}, after {duration(seconds)}",
        (f"Proven at {escaped(address)}, as image `{escaped(digest[:19])}`.", *_quoted(why)),
        (*_links(subject), ("application", address)),
    )


def deploying(subject: Subject, reason: str, actor: str) -> Message:
    """The first message of a run that puts a version live without checking it anew."""
    return Message(
        Mood.UNDER_WAY,
        f"{subject.what} → {subject.environment}: proving it on the idle colour",
        (f"“{escaped(reason)}” ({escaped(actor)})",),
        _links(subject),
    )


def shifted(subject: Subject, share: int, colour: str, proof: str) -> Message:
    """Said in the thread each time more of the traffic was moved."""
    return Message(
        Mood.UNDER_WAY,
        f"{subject.what} has {share} % of the traffic of {subject.environment}, on {colour}",
        (f"Through the public name: {escaped(proof)}",),
    )


def question(subject: Subject, asked: str) -> Message:
    """Asks a person to decide, with a link to where that is done."""
    return Message(
        Mood.UNDER_WAY,
        f"{subject.what} waits for your decision",
        (escaped(asked), "Answer with *Resume* on the page of the run."),
        _links(subject),
    )


def going_back(subject: Subject, steps: Sequence[str], reason: str, actor: str) -> Message:
    """Says what a rollback will do before it does it."""
    return Message(
        Mood.UNDER_WAY,
        f"{subject.environment} goes back to {subject.what}",
        (
            f"“{escaped(reason)}” ({escaped(actor)})",
            "\n".join(f"• {escaped(step)}" for step in steps),
        ),
        _links(subject),
    )


def went_back(subject: Subject, seconds: float, address: str, changed: bool, why: str) -> Message:
    verb = "is back on" if changed else "was on already, and stays on"
    return Message(
        Mood.WELL,
        f"{subject.environment} {verb} {subject.what}, after {duration(seconds)}",
        (f"Proven at {escaped(address)}.", *_quoted(why)),
        (*_links(subject), ("application", address)),
    )


def settled(environment: str, found: Sequence[str], outcome: str) -> Message:
    """Said by `reconcile` when it put right what a dead run had left."""
    return Message(
        Mood.STOPPED,
        f"{environment}: what a dead run left half done was settled",
        ("\n".join(f"• {escaped(each)}" for each in found), f"Now: {escaped(outcome)}"),
    )


def worries(environment: str, news: Sequence[str], over: Sequence[str]) -> Message:
    """Said by `reconcile` of what it cannot put right, and of what somebody has put right."""
    mood = Mood.STOPPED if news else Mood.WELL
    headline = "a person has to look" if news else "is as it should be again"
    told = [
        *(f"• {escaped(each)}" for each in news),
        *(f"• over: {escaped(each)}" for each in over),
    ]
    return Message(mood, f"{environment}: {headline}", ("\n".join(told),))


def failed(subject: Subject, failure: Failure) -> Message:
    return stopped_early(f"{subject.what} {_how_far(subject, failure)}", failure, subject.run_url)


def stopped_early(what: str, failure: Failure, run_url: str) -> Message:
    """Why a run did not end well, what to do, and what serves now."""
    return Message(
        Mood.FAILED,
        f"{what}: {failure.stage}",
        (
            f"```{clipped(escaped(failure.reason), 2500)}```",
            f"*What now:* {escaped(failure.hint)}",
            f"*Serving now:* {escaped(failure.serving)}",
        ),
        (("run", run_url),),
    )


def stopped(subject: Subject, how: str, failure: Failure) -> Message:
    told = [f"*Serving now:* {escaped(failure.serving)}"]
    if failure.was_sent:
        told.insert(0, "*What now:* the deployment was sent and goes on without us; look again.")
    return Message(
        Mood.STOPPED, f"{subject.what} → {subject.environment}: {how}", tuple(told), _links(subject)
    )


def _how_far(subject: Subject, failure: Failure) -> str:
    if failure.has_traffic:
        return f"has traffic in {subject.environment}, and its run ended before its time"
    if failure.had_traffic:
        return f"met users of {subject.environment} and is not live"
    if failure.was_sent:
        return f"was sent to {subject.environment} and is not proven there"
    return f"did not reach {subject.environment}"


def duration(seconds: float) -> str:
    """Seconds as people say them: `42 s`, `3 min 05 s`, `5 h 07 min`, `2 d 04 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 2 * 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def counted(number: int, what: str) -> str:
    """A number of things, in the singular or the plural: `1 check`, `8 checks`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def plain(text: str) -> str:
    """Text on one line without control characters or escape sequences."""
    return " ".join(_CONTROL.sub("", text).split())


def escaped(text: str) -> str:
    """Text that Slack shows as it is; the three characters are those Slack asks to escape."""
    shown = _CONTROL.sub("", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return shown.replace("```", "'''")


def clipped(text: str, size: int) -> str:
    """The end of a long text: a failing program says why in its last lines."""
    return text if len(text) <= size else f"…{text[-size:]}"


def _quoted(why: str) -> tuple[str, ...]:
    """Who wanted it, and why: the last word replaces the first message, which said so."""
    return (f"“{escaped(why)}”",) if why else ()


def _links(subject: Subject) -> tuple[tuple[str, str], ...]:
    return (("run", subject.run_url),)
