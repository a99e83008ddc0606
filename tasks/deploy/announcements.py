"""What a run that moves traffic tells the people who wait for it."""

from collections.abc import Sequence

from delivery.deploy import messages
from delivery.errors import RequestRefused
from delivery.messages import Message, Subject
from tasks.platform.versions import Version
from tasks.run.announce import announce, run_url, this_run
from tasks.run.approval import agreed
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
    """Tell of a step, beside it: users meet the version already, and it must be watched."""
    message = messages.shifted(about(lock, version), share, colour, proof)
    lock.said = announce.submit(lock.environment, message)


def question_about(lock: DeployLock, version: Version, question: str) -> Message:
    return messages.question(about(lock, version), question)


def announce_rollback(lock: DeployLock, version: Version, steps: Sequence[str]) -> None:
    """Say what a rollback is about to do, beside it: no slow Slack may hold it up."""
    holder = lock.holder
    message = messages.rolling_back(about(lock, version), steps, holder.reason, holder.actor)
    lock.said = announce.submit(lock.environment, message, first=True)


def ask_before_shift(lock: DeployLock, version: Version) -> None:
    """Ask for consent where the policy wants it. Raises `RequestRefused` without it.

    A rollback is not asked for twice: that a person wants it is why it runs.
    """
    if lock.is_rollback or not lock.environment.policy.approval:
        return
    question = f"{version} is proven and waits for its traffic. Shift it?"
    if not agreed(lock, question_about(lock, version, question), question):
        raise RequestRefused(
            f"{lock.last_word or 'nobody agreed'}: {version} gets no traffic",
            hint="Run `blue-green` again when it may: it is proven, and starts at once.",
        )
