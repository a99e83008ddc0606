"""Messages about a run, as text and as Slack blocks.

Everything that comes from outside (subjects, refs, error texts) is escaped, so that a commit
message can neither ping a channel nor forge a link.
Block Kit's limits: https://docs.slack.dev/reference/block-kit/blocks.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import quote

from delivery.text import clipped, escaped, plain, shortened

LONGEST_SECTION, LONGEST_IN_SHORT = 2900, 160

_ENDS_A_LINK = re.compile(r"[<>|\s]")

# What a link says, and its address.
Link = tuple[str, str]


class RunStatus(StrEnum):
    """How a run is doing, as the sign that people look for in a channel."""

    UNDER_WAY = "⏳"
    WELL = "✅"
    FAILED = "🔴"
    STOPPED = "⚪"


@dataclass(frozen=True)
class Subject:
    """What a run is about: the facts that each of its messages repeats."""

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
    """Why a run did not succeed: the stage, its reason, what to do, and what serves now.

    `was_sent`: App Runner was asked to deploy the new version. `has_traffic`: users still reach it.
    `had_traffic`: users reached it until the traffic was put back.
    """

    stage: str
    reason: str
    hint: str
    serving: str
    was_sent: bool = False
    had_traffic: bool = False
    has_traffic: bool = False

    @property
    def in_short(self) -> str:
        """What a headline says: the step, or, if that asks a question, how the reason begins."""
        if not self.stage.endswith("?"):
            return self.stage
        lines = [line.strip() for line in self.reason.splitlines()]
        return shortened(next(filter(None, lines), self.stage), LONGEST_IN_SHORT)


@dataclass(frozen=True)
class Message:
    """One message: a headline for the channel, paragraphs, and links in small print."""

    status: RunStatus
    headline: str
    paragraphs: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()

    @property
    def text(self) -> str:
        """The message without blocks, for a notification, in which Slack obeys markup as well."""
        return f"{self.status} {escaped(plain(self.headline))}"

    @property
    def in_short(self) -> "Message":
        """The headline with its links, which the channel shows of a thread."""
        return replace(self, paragraphs=())

    def blocks(self) -> list[dict[str, object]]:
        """The message in Block Kit."""
        texts = [f"{self.status} *{escaped(self.headline)}*", *self.paragraphs]
        blocks: list[dict[str, object]] = [
            {"type": "section", "text": {"type": "mrkdwn", "text": each[:LONGEST_SECTION]}}
            for each in texts
        ]
        if self.links:
            small = "  ·  ".join(f"<{_whole(to)}|{escaped(name)}>" for name, to in self.links)
            blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": small}]})
        return blocks


def _whole(address: str) -> str:
    """Return an address in which nothing ends the link that it stands in."""
    return _ENDS_A_LINK.sub(lambda found: quote(found[0]), address)


def failure_message(what: str, failure: Failure, run_url: str) -> Message:
    """Say why a run failed, what to do, and what serves now."""
    return Message(
        RunStatus.FAILED,
        f"{what}: {failure.in_short}",
        (
            f"```{clipped(escaped(failure.reason), 2500)}```",
            f"*What now:* {escaped(failure.hint)}",
            f"*Serving now:* {escaped(failure.serving)}",
        ),
        (("run", run_url),),
    )
