"""
Bring an account to what the templates of deployments/aws say.

    (ledger, if there is none) ─ lock ─ plan every stack ─ (ask a person) ─ apply, one by one ─┐
    tell, with the settings that must follow ◀─ keep the logs as long as they should be ◀──────┘

Each stack is planned by a change set before any is applied, and what replaces or removes something
waits for a person. Killed anywhere, it is simply run again: it waits for what AWS still does.
"""

from prefect import flow
from pydantic import Field

from blocks.environment import Environment
from blocks.parameters import Reason, Registered, Stacks
from delivery.maintenance.provisioning import Stack
from tasks.deploy.conclusion import tell_failure
from tasks.maintenance.provisioning import (
    announce_provisioning,
    apply_plans,
    ask_before_loss,
    conclude_provisioning,
    ensure_ledger,
    in_order,
    only_planned,
    plan_stacks,
)
from tasks.platform.log_retention import keep_logs
from tasks.run.hooks import on_bad_end
from tasks.run.lock import deploy_lock


@flow(name="provision", flow_run_name="provision {environment}", **on_bad_end(tell_failure))
def provision(
    reason: Reason = Field(description="Why, for the ledger and Slack: 3 to 300 characters."),
    environment: Registered = Field(default="production", description="A registered environment."),
    stacks: Stacks = Field(default=list(Stack), description="Which stacks to bring up to date."),
    plan: bool = Field(default=False, description="Only say what would be changed."),
) -> str:
    """Create and update the stacks of an environment and of its account."""
    env = Environment.named(environment)
    chosen = in_order(env, stacks)
    if plan:
        return only_planned(env, chosen)
    ensure_ledger(env, chosen)
    with deploy_lock(env, "provision", ", ".join(chosen), reason) as lock:
        announce_provisioning(lock)
        plans = plan_stacks(lock, chosen)
        ask_before_loss(lock, plans)
        apply_plans(lock, plans)
        told = conclude_provisioning(lock, plans, keep_logs(env))
    return f"{env.name}: {told}"
