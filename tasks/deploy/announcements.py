"""Announcements tell people in Slack how a run that moves traffic comes along."""

from collections.abc import Sequence

from delivery.deploy import messages
from delivery.errors import RequestRefused
from delivery.messages import Message, Subject
from tasks.platform.versions import Version
from tasks.run.announce import announce, announce_beside, run_url, this_run
from tasks.run.approval import ask_consent
from tasks.run.lock import DeployLock


def about(lock: DeployLock, version: Version) -> Subject:
    environment = lock.environment
    where = run_url(environment, this_run())
    return Subject(environment.name, version.revision, version.proven.ref, where)


def announce_deploying(lock: DeployLock, version: Version) -> None:
    """Open the thread of a run that puts a proven version live."""
    holder = lock.holder
    message = messages.deploying(about(lock, version), holder.reason, holder.actor)
    announce(lock.environment, message, first=True)


def announce_share(lock: DeployLock, version: Version, share: int, colour: str, proof: str) -> None:
    """Announce a step without waiting: users meet the version already, and it must be watched."""
    message = messages.shifted(about(lock, version), share, colour, proof)
    announce_beside(lock.environment, message)


def question_about(lock: DeployLock, version: Version, question: str) -> Message:
    return messages.question(about(lock, version), question)


def announce_rollback(lock: DeployLock, version: Version, steps: Sequence[str]) -> None:
    """Announce what a rollback is about to do, without waiting for Slack."""
    holder = lock.holder
    message = messages.rolling_back(about(lock, version), steps, holder.reason, holder.actor)
    announce_beside(lock.environment, message, first=True)


def ask_before_shift(lock: DeployLock, version: Version) -> None:
    """Ask for consent where the policy wants it. Raises `RequestRefused` without it.

    A rollback is not asked for twice: that a person wants it is why it runs.
    """
    if lock.is_rollback or not lock.environment.policy.approval:
        return
    question = f"{version} is proven and waits for its traffic. Shift it?"
    consent = ask_consent(lock, question_about(lock, version, question), question)
    if not consent.is_given:
        raise RequestRefused(
            f"{consent}: {version} gets no traffic",
            hint="Run `blue-green` again when it may: it is proven, and starts at once.",
        )
