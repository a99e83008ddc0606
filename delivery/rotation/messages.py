"""What we say about a rotation: ids of versions and sentences, never a value."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from delivery.messages import Failure, Message, Mood, stopped_early
from delivery.rotation.next_step import Next
from delivery.rotation.record import Record, RotationStep, is_overdue
from delivery.text import duration, escaped


@dataclass(frozen=True)
class SecretOutcome:
    """How far one secret is: its versions' ids, the steps taken in this run, and what is next."""

    secret: str
    old_version: str
    new_version: str
    taken: Sequence[RotationStep]
    next: Next

    @property
    def sentence(self) -> str:
        until = f", until {moment(self.next.until)}" if self.next.until else ""
        match self.next.step:
            case RotationStep.DONE:
                return f"{self.secret}: done, {self.next.why}"
            case RotationStep.STOP:
                return f"{self.secret}: stopped, because {self.next.why}"
            case RotationStep.WAIT:
                return f"{self.secret}: waits{until}: {self.next.why}"
        return f"{self.secret}: {self.next.step} is next: {self.next.why}"

    def row(self) -> dict[str, str]:
        """A row of the table that people look at."""
        return {
            "secret": self.secret,
            "old version": self.old_version or "–",
            "new version": self.new_version or "–",
            "done in this run": ", ".join(self.taken) or "nothing",
            "next": f"{self.next.step}: {self.next.why}",
            "when": moment(self.next.until) if self.next.until else "–",
        }


def overdue_told(row: Record | None, now: float) -> str:
    """That the old version of the rotation before should be gone long since; empty if it is."""
    if row is None or row.rolled_at is None or not is_overdue(row, now):
        return ""
    return (
        f"{row.secret}: the old version {row.old_version} was replaced at {moment(row.rolled_at)} "
        "and is not retired: overdue for more than 48 hours"
    )


def moment(seconds: float) -> str:
    """Seconds since 1970 as people read them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def rotation_started(
    environment: str, what: str, why: str, actor: str, warnings: Sequence[str], run_url: str
) -> Message:
    """Opens the thread, before anything is changed."""
    told = [f"“{escaped(why)}” ({escaped(actor)})", *(escaped(each) for each in warnings)]
    return Message(Mood.UNDER_WAY, f"{environment}: {what}", tuple(told), (("run", run_url),))


def secret_told(outcome: SecretOutcome) -> Message:
    """Said of each secret when it is as far as it can be today."""
    mood = {RotationStep.DONE: Mood.WELL, RotationStep.STOP: Mood.FAILED}.get(
        outcome.next.step, Mood.UNDER_WAY
    )
    versions = f"`{escaped(outcome.old_version)}` → `{escaped(outcome.new_version)}`"
    return Message(mood, outcome.sentence, (versions,))


def rotation_ended(
    environment: str,
    outcomes: Sequence[SecretOutcome],
    warnings: Sequence[str],
    seconds: float,
    run_url: str,
) -> Message:
    """The last word of a run; an old credential that is not due yet is no failure."""
    told = [f"• {escaped(line)}" for line in (*(each.sentence for each in outcomes), *warnings)]
    names = ", ".join(each.secret for each in outcomes) or "nothing"
    return Message(
        Mood.WELL if outcomes else Mood.STOPPED,
        f"{environment}: {names} rotated as far as can be today, in {duration(seconds)}",
        ("\n".join(told),),
        (("run", run_url),),
    )


def rotation_failed(environment: str, failure: Failure, run_url: str) -> Message:
    """Said by the hook of a run that did not end well."""
    return stopped_early(f"{environment}: a rotation of secrets stopped", failure, run_url)


def retired(environment: str, told: Sequence[str]) -> Message:
    """Said by `reconcile` of old credentials: those that it retired, and those long overdue."""
    return Message(
        Mood.STOPPED,
        f"{environment}: old credentials",
        ("\n".join(f"• {escaped(each)}" for each in told),),
    )
