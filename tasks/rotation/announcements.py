"""What a rotation was asked for, its Slack messages, and the table on its page."""

from collections.abc import Sequence
from datetime import datetime

from prefect.artifacts import create_table_artifact
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger

from delivery.errors import RequestRefused
from delivery.messages import Message
from delivery.rotation import messages
from delivery.rotation.facts import SecretKind
from delivery.rotation.messages import SecretOutcome
from delivery.rotation.record import slot_of
from delivery.text import plain
from tasks import operation
from tasks.rotation.state import Rotation, RotationRequest
from tasks.run.announce import announce, run_url, seconds_so_far, tell, this_run
from tasks.run.lock import DeployLock
from tasks.run.summary import write_summary

WEEKLY = "the weekly rotation"


def rotation_request(
    secrets: Sequence[SecretKind],
    rotation_id: str,
    reason: str,
    force_logout: bool,
    compromised: bool,
) -> RotationRequest:
    """What a run was asked for. Raises `RequestRefused` where the parameters do not fit."""
    for name, is_asked in (("force_logout", force_logout), ("compromised", compromised)):
        if is_asked and not plain(reason):
            raise RequestRefused(
                f"{name} needs a reason",
                hint="Say why, for the ledger and for the readers of Slack. Nothing was changed.",
            )
    kinds = tuple(dict.fromkeys(SecretKind(each).value for each in secrets))
    if not kinds:
        raise RequestRefused("no secret was named")
    if force_logout and SecretKind.JWT not in kinds:
        raise RequestRefused("force_logout is about jwt, which is not among the secrets")
    return RotationRequest(kinds, slot_of(rotation_id or _scheduled()), force_logout, compromised)


def _scheduled() -> datetime:
    """The moment for which this run was scheduled, or at which it was requested."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("only a run has a slot")
    moment = context.flow_run.expected_start_time or context.flow_run.created
    if moment is None:
        raise RequestRefused("this run has no scheduled start: give it a rotation_id")
    return moment


def announce_rotation(
    lock: DeployLock,
    request: RotationRequest,
    rotations: Sequence[Rotation],
    excluded: Sequence[str],
) -> None:
    """Open the Slack thread of a rotation; `excluded` says which secrets cannot be rotated."""
    holder = lock.holder
    message = messages.rotation_started(
        lock.environment.name,
        str(request),
        holder.reason,
        holder.actor,
        [*_overdue(rotations), *excluded],
        run_url(lock.environment, this_run()),
    )
    announce(lock.environment, message, first=True)


@operation("conclude: how far each secret is")
def conclude_rotation(
    lock: DeployLock, rotations: Sequence[Rotation], excluded: Sequence[str]
) -> str:
    """Write the table and the Slack messages; how far each secret is, in one line."""
    environment, seconds = lock.environment, seconds_so_far()
    outcomes = [outcome_of(each) for each in rotations]
    warnings = [*_overdue(rotations), *excluded]
    create_table_artifact(
        [each.row() for each in outcomes] + [{"secret": each} for each in warnings],
        key="rotation",
        description=f"Secrets of {environment.name}: ids of versions, and the next step",
    )
    for outcome in outcomes:
        _tell(lock, messages.secret_progress(outcome))
    url = run_url(environment, this_run())
    ended = messages.rotation_ended(environment.name, outcomes, warnings, seconds, url)
    _tell(lock, ended)
    facts = [(each.secret, each.sentence) for each in outcomes]
    write_summary(environment, this_run(), plain(ended.headline), facts, seconds=seconds)
    return "; ".join([*(each.sentence for each in outcomes), *warnings])


def _overdue(rotations: Sequence[Rotation]) -> list[str]:
    """A sentence for each earlier rotation that this run found overdue."""
    return [each.overdue for each in rotations if each.overdue]


def outcome_of(rotation: Rotation) -> SecretOutcome:
    """How far a secret is, as people see it."""
    facts = rotation.facts
    row = facts.of_current
    return SecretOutcome(
        secret=rotation.secret,
        old_version=row.old_version if row else "",
        new_version=facts.current,
        taken=rotation.taken,
        next=rotation.next,
    )


def _tell(lock: DeployLock, message: Message) -> None:
    if why := tell(lock.environment, this_run(), message):
        get_run_logger().warning("Slack was not told: %s", why)
