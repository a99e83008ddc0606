"""
Bring an account to what the templates of deployments/aws say.

    create the ledger, if there is none ─ lock ─ a change set per stack ─ publish the plan ──┐
    ┌─ would it replace or remove something? ask a person (no: delete the change sets, end) ◀┘
    └▶ apply the change sets, one by one ─ set how long logs are kept ─ announce, with settings
    plan only: a change set per stack ─ publish the plan ─ delete the change sets

Every stack is planned before any is changed. A killed run is simply run again: it waits for the
operation that AWS still works on. The settings are those to write into blocks/environments.yaml.
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
    plan_stacks,
    publish_dry_run,
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
        return publish_dry_run(env, chosen)
    ensure_ledger(env, chosen)
    with deploy_lock(env, "provision", ", ".join(chosen), reason) as lock:
        announce_provisioning(lock)
        plans = plan_stacks(lock, chosen)
        ask_before_loss(lock, plans)
        apply_plans(lock, plans)
        logs = keep_logs(env)
        done = conclude_provisioning(lock, plans, logs)
    return f"{env.name}: {done}"
