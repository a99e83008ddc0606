"""Provision: bring an account's stacks to what their templates say, holding the deploy lock."""

from collections.abc import Iterable, Sequence

from prefect.artifacts import create_markdown_artifact

from blocks.environment import Environment
from delivery.errors import ConfigurationError, RequestRefused
from delivery.maintenance import provisioning_messages as messages
from delivery.maintenance.provisioning import (
    Ready,
    Stack,
    StackPlan,
    as_markdown,
    readiness,
    settings_to_write,
    stack_name,
)
from delivery.text import plain
from tasks import operation
from tasks.aws_errors import translate_aws_errors
from tasks.maintenance.stack_parameters import desired_stack, settings_for
from tasks.maintenance.stacks import (
    StackState,
    apply_plan,
    forget_plan,
    plan_stack,
    read_stack,
    stack_at_rest,
)
from tasks.platform.app_runner.service import no_fence
from tasks.run.announce import announce, run_url, seconds_so_far, tell_thread, this_run
from tasks.run.approval import ask_consent
from tasks.run.lock import DeployLock
from tasks.run.summary import write_summary


def in_order(environment: Environment, stacks: Iterable[Stack]) -> list[Stack]:
    """Return the chosen stacks, each once, in the order in which they are applied.

    `handover` is left out where the environment has no bucket for it. Raises `ConfigurationError`,
    before anything is read from AWS, where the environment lacks a setting that a template needs.
    """
    wanted = set(stacks)
    if not environment.handover_bucket:
        wanted -= {Stack.HANDOVER}
    if not wanted:
        raise ConfigurationError(
            f"{environment.name} names no handover_bucket",
            hint="Name it if checks are to run on other workers (docs/scaling.md).",
        )
    chosen = [stack for stack in Stack if stack in wanted]
    for stack in chosen:
        settings_for(environment, stack)
    return chosen


def ensure_ledger(environment: Environment, stacks: Sequence[Stack]) -> None:
    """Create the ledger's stack where there is none: without it no run can hold the deploy lock."""
    if Stack.LEDGER not in stacks:
        return
    name = name_of(environment, Stack.LEDGER)
    with translate_aws_errors(f"look at the stack {name}"):
        seen = read_stack(environment, name)
    if readiness(name, seen.status) is not Ready.UPDATE:
        _apply(environment, change_sets(environment, [Stack.LEDGER]))


def change_sets(environment: Environment, stacks: Sequence[Stack]) -> list[StackPlan]:
    """Plan one change set per stack, without the deploy lock."""
    return [_planned(environment, stack) for stack in stacks]


def plan_stacks(lock: DeployLock, stacks: Sequence[Stack]) -> list[StackPlan]:
    """Plan one change set per stack, holding the deploy lock, and publish the plans."""
    plans = [_planned(lock.environment, stack, lock) for stack in stacks]
    show_plan(lock.environment, plans)
    return plans


def _planned(environment: Environment, stack: Stack, lock: DeployLock | None = None) -> StackPlan:
    ensure_held = lock.ensure_held if lock else no_fence
    seen: StackState = stack_at_rest(environment, name_of(environment, stack), ensure_held)
    return plan_stack(environment, stack, seen, desired_stack(environment, stack, seen))


@operation("show the plan of {environment.name}")
def show_plan(environment: Environment, plans: Sequence[StackPlan]) -> None:
    """Publish what would be changed as a table: stack, resource, action, replacement."""
    changes = sum(len(plan.rows) for plan in plans)
    create_markdown_artifact(
        f"# What provisioning {environment.name} would change\n\n{as_markdown(plans)}",
        key="plan",
        description=f"{changes} resources would be changed in {environment.name}",
    )


def publish_dry_run(environment: Environment, stacks: Sequence[Stack]) -> str:
    """Plan the stacks, publish the plan and return it as text; delete the change sets again."""
    plans = change_sets(environment, stacks)
    show_plan(environment, plans)
    forget_plans(environment, plans)
    return as_markdown(plans)


def ask_before_loss(lock: DeployLock, plans: Sequence[StackPlan]) -> None:
    """Ask a person before something is replaced or removed. Raises `RequestRefused` without a yes.

    The start of the run was the consent to what is only added or changed in place. Without a yes
    the change sets are deleted.
    """
    losses = [loss for plan in plans for loss in plan.losses]
    if not losses:
        return
    environment = lock.environment
    message = messages.may_be_lost(environment.name, losses, run_url(environment, this_run()))
    consent = ask_consent(lock, message, f"May this be taken away? {'; '.join(losses)}")
    if not consent.is_given:
        forget_plans(environment, plans)
        raise RequestRefused(
            f"{consent}: nothing is replaced or removed",
            hint="Nothing was changed. Leave the stack that is named out of `stacks`, or put the "
            "setting back that causes it (column `because of` of the plan).",
        )


def apply_plans(lock: DeployLock, plans: Sequence[StackPlan]) -> None:
    """Apply the plans one after the other; a failure leaves the later stacks as they were."""
    _apply(lock.environment, plans, lock)


def _apply(
    environment: Environment, plans: Iterable[StackPlan], lock: DeployLock | None = None
) -> None:
    for plan in plans:
        if plan.change_set:
            apply_plan(environment, plan, lock.ensure_held_now if lock else no_fence)


def forget_plans(environment: Environment, plans: Iterable[StackPlan]) -> None:
    """Delete the change sets of plans that will not be applied."""
    for plan in plans:
        if plan.change_set:
            forget_plan(environment, plan)


def announce_provisioning(lock: DeployLock) -> None:
    """Open the thread of this run."""
    environment, holder = lock.environment, lock.holder
    url = run_url(environment, this_run())
    message = messages.provisioning(
        environment.name, holder.title, holder.reason, holder.actor, url
    )
    announce(environment, message, first=True)


@operation("conclude: {lock.environment.name} is provisioned")
def conclude_provisioning(lock: DeployLock, plans: Sequence[StackPlan], logs: Sequence[str]) -> str:
    """Say what was changed, and which settings of the environment a person has to write."""
    environment, seconds = lock.environment, seconds_so_far()
    changed = [str(plan) for plan in plans if plan.rows] or ["every stack was as it should be"]
    with translate_aws_errors("read what the stacks made"):
        outputs = {
            name: value
            for plan in plans
            for name, value in read_stack(environment, plan.name).outputs.items()
        }
    references = environment.service.secrets.values()
    to_write = settings_to_write(outputs, _known(environment), references)
    done = [*changed, *logs, *(f"write into blocks/environments.yaml: {each}" for each in to_write)]
    url = run_url(environment, this_run())
    message = messages.provisioned(environment.name, done, seconds, url)
    tell_thread(environment, message)
    facts = [*outputs.items(), *(("write into the environment", each) for each in to_write)]
    write_summary(environment, this_run(), plain(message.headline), facts, seconds=seconds)
    return "; ".join(done)


def name_of(environment: Environment, stack: Stack) -> str:
    prefix, repository = environment.provisioning.prefix, environment.ecr_repository
    return stack_name(prefix, environment.name, stack, repository)


def _known(environment: Environment) -> dict[str, str]:
    """Return the settings of the environment that name what stacks make."""
    service, router = environment.service, environment.router
    return {
        "service.access_role_arn": service.access_role_arn,
        "service.instance_role_arn": service.instance_role_arn or "",
        "router.route_store": router.route_store if router else "",
        "router.distribution": (router.distribution or "") if router else "",
    }
