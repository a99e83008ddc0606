"""
Bring an earlier version back.

    choose the release ─ recover ─ announce ─┬ its colour is warm: one write, proven ───────┐
                                             └ it is not: bring it up, prove it, shift ─────┴ tell

It goes before deployments that wait, asks one that is under way to take its change back, and
refuses what an irreversible migration has cut off.
"""

from prefect import flow
from pydantic import Field

from blocks.environment import Environment
from blocks.parameters import Reason, Registered, Wanted
from flows.blue_green import put_live
from flows.reconcile import recover_interrupted
from tasks.deploy.conclusion import conclude_live, tell_failure
from tasks.deploy.rollback import announce_way_back, choose_target, swap_if_warm
from tasks.platform.versions import as_proven
from tasks.run.hooks import on_bad_end
from tasks.run.lock import deploy_lock


@flow(
    name="rollback",
    flow_run_name="{environment} back to {target_version:.12}",
    **on_bad_end(tell_failure),
)
def rollback(
    reason: Reason = Field(description="Why, for the ledger and Slack: 3 to 300 characters."),
    target_version: Wanted = Field(
        default="previous",
        description="`previous`, or a revision, tag or digest that was live before.",
    ),
    environment: Registered = Field(default="production", description="A registered environment."),
    force: bool = Field(
        default=False,
        description="Also what was never live here, or is older than an irreversible migration.",
    ),
) -> str:
    """Move the traffic back to an earlier version: in one write while its colour is warm."""
    env = Environment.named(environment)
    target = choose_target(env, target_version, force)
    env = as_proven(env, target)
    with deploy_lock(env, "rollback", f"back to {target}", reason) as lock:
        snapshot = recover_interrupted(lock)
        announce_way_back(lock, snapshot, target)
        live = swap_if_warm(lock, snapshot, target) or put_live(lock, target, checkout=None)
        conclude_live(lock, target, live)
    return f"{env.name} is back on {target.revision} at {live.address}"
