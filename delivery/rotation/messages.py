"""Slack messages about a rotation: ids of versions and sentences, never a value."""

from collections.abc import Sequence
from dataclasses import dataclass

from delivery.messages import Failure, Message, RunStatus, failure_message
from delivery.rotation.next_step import Next
from delivery.rotation.record import Record, RotationStep, is_overdue, moment
from delivery.text import duration, escaped


@dataclass(frozen=True)
class SecretOutcome:
    """How far one secret is: its versions' ids, the steps that this run took, and the next one."""

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
        return f"{self.secret}: {self.next.step.shown} is next: {self.next.why}"

    def row(self) -> dict[str, str]:
        """A row of the table on the run's page."""
        return {
            "secret": self.secret,
            "old version": self.old_version or "–",
            "new version": self.new_version or "–",
            "done in this run": ", ".join(each.shown for each in self.taken) or "nothing",
            "next": f"{self.next.step.shown}: {self.next.why}",
            "when": moment(self.next.until) if self.next.until else "–",
        }


def overdue_sentence(row: Record | None, now: float) -> str:
    """That the old version of this earlier rotation should have been retired; empty if it was."""
    if row is None or row.rolled_at is None or not is_overdue(row, now):
        return ""
    return (
        f"{row.secret}: the old version {row.old_version} was replaced at {moment(row.rolled_at)} "
        "and is not retired: overdue for more than 48 hours"
    )


def rotation_started(
    environment: str, what: str, why: str, actor: str, warnings: Sequence[str], run_url: str
) -> Message:
    """The first message of the thread, sent before anything is changed."""
    lines = [f"“{escaped(why)}” ({escaped(actor)})", *(escaped(each) for each in warnings)]
    return Message(RunStatus.UNDER_WAY, f"{environment}: {what}", tuple(lines), (("run", run_url),))


def secret_progress(outcome: SecretOutcome) -> Message:
    """How far one secret is at the end of a run."""
    status = {RotationStep.DONE: RunStatus.WELL, RotationStep.STOP: RunStatus.FAILED}.get(
        outcome.next.step, RunStatus.UNDER_WAY
    )
    versions = f"`{escaped(outcome.old_version)}` → `{escaped(outcome.new_version)}`"
    return Message(status, outcome.sentence, (versions,))


def rotation_ended(
    environment: str,
    outcomes: Sequence[SecretOutcome],
    warnings: Sequence[str],
    seconds: float,
    run_url: str,
) -> Message:
    """The last message of a run; an old credential that is not due yet is no failure."""
    lines = [f"• {escaped(line)}" for line in (*(each.sentence for each in outcomes), *warnings)]
    names = ", ".join(each.secret for each in outcomes) or "nothing"
    return Message(
        RunStatus.WELL if outcomes else RunStatus.STOPPED,
        f"{environment}: {names} rotated as far as possible today, in {duration(seconds)}",
        ("\n".join(lines),),
        (("run", run_url),),
    )


def rotation_failed(environment: str, failure: Failure, run_url: str) -> Message:
    """The last message of a run that failed; sent by the flow's hook."""
    return failure_message(f"{environment}: a rotation of secrets stopped", failure, run_url)


def credentials_retired(environment: str, sentences: Sequence[str]) -> Message:
    """The old credentials that `reconcile` retired, and those that are long overdue."""
    return Message(
        RunStatus.STOPPED,
        f"{environment}: old credentials",
        ("\n".join(f"• {escaped(each)}" for each in sentences),),
    )
