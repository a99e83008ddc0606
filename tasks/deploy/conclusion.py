"""The conclusion of a run: the summary on its page, and the last message in its Slack thread."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.logging import get_logger, get_run_logger

from blocks.clients import calls
from blocks.environment import Environment
from delivery.checks.plan import CheckPlan
from delivery.deploy import messages
from delivery.deploy.decision import why_not_deployed as decide
from delivery.deploy.progress import Milestone
from delivery.errors import DeliveryError, Superseded
from delivery.maintenance.provisioning_messages import provisioning_failed
from delivery.messages import Failure, Message, Subject
from delivery.release.messages import release_failed
from delivery.rotation.messages import rotation_failed
from delivery.run.ledger import Live
from delivery.run.summary import first_failed, left_out_stages
from delivery.text import both_ends, plain
from tasks import fact, operation
from tasks.checks.image_files import why_not_built
from tasks.deploy import announcements
from tasks.platform.health import what_serves
from tasks.platform.versions import Version
from tasks.run.announce import (
    HOOK_LOGGER,
    await_announcements,
    run_url,
    seconds_so_far,
    subject,
    tell,
    this_run,
)
from tasks.run.lock import DeployLock
from tasks.run.outcome import error_of, note_told
from tasks.run.progress import milestones_of
from tasks.run.summary import recorded_plan, stages_of, write_summary
from tasks.workspace.checkout import Source, is_same_repository

# Flows whose failure is not that of a version.
FAILED = {
    "rotate-secrets": rotation_failed,
    "provision": provisioning_failed,
    "release": release_failed,
}


@fact("does {source.revision:.10} go to {environment.name}?")
def why_not_deployed(environment: Environment, source: Source, plan: CheckPlan) -> str:
    """Return why this revision is only checked; empty if it is to be deployed."""
    return decide(
        ref=source.ref,
        deploy_ref=environment.policy.deploy_ref,
        is_own_repository=is_same_repository(source.repository, environment.repository),
        why_no_image=why_not_built(source, plan.table, plan.manager.root),
    )


@operation("conclude: checked, and not deployed because {why}")
def conclude_checked(
    environment: Environment,
    source: Source,
    plan: CheckPlan,
    why: str,
) -> None:
    """Say that the checks passed and that the run ends there."""
    run_id, seconds = this_run(), seconds_so_far()
    _tell(environment, messages.checked(subject(environment, source, run_id), seconds, why))
    facts = [*_about(source), ("not deployed", why), *_remarks(plan)]
    write_summary(
        environment,
        run_id,
        f"{source.revision[:10]} passed its checks",
        facts,
        left_out=left_out_stages(plan.not_applicable),
        seconds=seconds,
    )


@operation("conclude: {source.revision:.10} is live in {environment.name}")
def conclude_deployed(
    environment: Environment,
    source: Source,
    plan: CheckPlan,
    live: Live,
) -> None:
    """Say what is live, where, and how it got there."""
    run_id, seconds = this_run(), seconds_so_far()
    about, digest = subject(environment, source, run_id), live.release.digest
    _tell(environment, messages.deployed(about, seconds, digest, live.address, live.changed))
    facts = [*_about(source), *_facts_of(environment, live), *_remarks(plan)]
    write_summary(
        environment,
        run_id,
        f"{source.revision[:10]} is live in {environment.name}",
        facts,
        left_out=left_out_stages(plan.not_applicable),
        seconds=seconds,
    )


@operation("conclude: {version} is live in {lock.environment.name}")
def conclude_live(lock: DeployLock, version: Version, live: Live) -> None:
    """Say what a run without checks of its own made live."""
    environment, seconds = lock.environment, seconds_so_far()
    await_announcements()
    about = announcements.about(lock, version)
    why = f"{lock.holder.actor}: {lock.holder.reason}"
    if lock.is_rollback:
        message = messages.rolled_back(about, seconds, live.address, live.changed, why)
    else:
        message = messages.deployed(about, seconds, version.digest, live.address, live.changed, why)
    _tell(environment, message)
    title = plain(message.headline)
    write_summary(environment, this_run(), title, _facts_of(environment, live), seconds=seconds)


def _facts_of(environment: Environment, live: Live) -> list[tuple[str, str]]:
    release = live.release
    return [
        ("live", f"{release.revision} at {live.address}"),
        ("image", f"{environment.ecr_repository}@{release.digest}"),
        ("colour", release.colour or "none: updated in place"),
        ("before", live.before or "nothing: this is the first deployment"),
        ("operation", ", ".join(release.operations) or "none: it ran already"),
        ("asked by", f"{release.actor}: {release.reason}"),
        ("AWS calls", f"{sum(calls.values())} ({_most_called()})"),
    ]


def tell_failure(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Hook of a run that failed, crashed or was cancelled: say so, why, and what serves now.

    Works from what Prefect recorded, since it may be called in another process than the run's.
    """
    environment = _environment_of(flow, flow_run)
    if environment is None:
        return
    failure = _failure(environment, flow_run, state)
    asked = flow_run.parameters
    about = Subject(
        environment.name,
        _asked_version(asked),
        str(asked.get("ref", environment.policy.deploy_ref)),
        run_url(environment, flow_run.id),
    )
    if flow.name in FAILED:
        message = FAILED[flow.name](environment.name, failure, about.run_url)
    else:
        message = _last_word(about, failure, state, error_of(state))
    why = tell(environment, flow_run.id, message)
    if why:
        get_logger(HOOK_LOGGER).warning("Slack was not told: %s", why)
    else:
        note_told(flow_run, state)
    began = flow_run.start_time or flow_run.expected_start_time
    seconds = (datetime.now(UTC) - began).total_seconds() if began else 0.0
    remarks, left_out = recorded_plan(flow_run.id)
    facts = [
        ("stage", failure.stage),
        ("reason", both_ends(failure.reason, 1200)),
        ("what now", failure.hint),
        ("serving now", failure.serving),
        *remarks,
    ]
    title = plain(message.headline)
    write_summary(environment, flow_run.id, title, facts, left_out=left_out, seconds=seconds)


def _last_word(
    about: Subject, failure: Failure, state: State[Any], error: BaseException | None
) -> Message:
    if isinstance(error, Superseded):
        return messages.stopped(about, f"not needed any more: {error}", failure)
    if state.is_cancelled() or state.is_cancelling():
        return messages.stopped(about, "cancelled", failure)
    return messages.failed(about, failure)


def _failure(environment: Environment, run: FlowRun, state: State[Any]) -> Failure:
    stages = stages_of(run.id)
    error = error_of(state)
    reached = milestones_of(run.id)
    was_taken_back = Milestone.TRAFFIC_TAKEN_BACK in reached
    return Failure(
        stage=first_failed(stages) or state.name or "the run",
        was_sent=Milestone.SENT in reached,
        had_traffic=was_taken_back,
        has_traffic=Milestone.TRAFFIC_GIVEN in reached and not was_taken_back,
        reason=str(error) if error else (state.message or "no reason was recorded"),
        hint=error.hint if isinstance(error, DeliveryError) else DeliveryError.hint,
        serving=what_serves(environment),
    )


def _environment_of(flow: Any, run: FlowRun) -> Environment | None:
    try:
        found = Environment.named(str(run.parameters.get("environment", "production")))
        return found.act_for(flow.name, run.id)
    except DeliveryError as error:
        get_logger(HOOK_LOGGER).warning("nobody was told: %s", error)
        return None


def _tell(environment: Environment, message: Message) -> None:
    if why := tell(environment, this_run(), message):
        get_run_logger().warning("Slack was not told: %s", why)


def _about(source: Source) -> list[tuple[str, str]]:
    return [
        ("commit", f"{source.subject} ({source.author}, {source.committed_at or 'no date'})"),
        ("of", f"{source.ref} in {source.repository}"),
    ]


def _remarks(plan: CheckPlan) -> list[tuple[str, str]]:
    return [("remark", remark) for remark in plan.remarks]


def _asked_version(asked: Mapping[str, Any]) -> str:
    """Return the version that a run was asked for, whatever its flow calls the parameter."""
    names = ("revision", "version", "target_version")
    return next((str(asked[name]) for name in names if asked.get(name)), "previous")


def _most_called() -> str:
    return ", ".join(f"{name.split(':')[1]} {count}" for name, count in calls.most_common(4))
