"""
Put a proven version live beside the old one, and move the users to it step by step.

    recover ─ bring up on the idle colour ─ prove its health ─ smoke-test ─ warm up ─ (ask) ─┐
    retire the old colour ◀─ promote ◀─ watch (ask, if too few come) ◀─ shift, step by step ◀┘
    in place: update the one service ─ prove its health (it has the users: no smoke tests)

From the first shift on any failure, a cancel too, puts the traffic back in one write; the next
run, or `reconcile`, recovers what no guard can catch.
"""

from prefect import flow
from pydantic import Field

from blocks.environment import Environment
from blocks.parameters import Reason, Registered, Wanted
from delivery.run.ledger import Live
from flows.reconcile import recover_colours
from tasks.deploy.announcements import announce_deploying, ask_before_shift
from tasks.deploy.colours import bring_up, is_live_already, retire_or_keep_warm, warm_up
from tasks.deploy.conclusion import conclude_live, tell_failure
from tasks.deploy.dry_run import publish_dry_run
from tasks.deploy.in_place import update_in_place
from tasks.deploy.record import live_now, still_live
from tasks.deploy.shift import Candidate, promote, shift_in_steps
from tasks.deploy.smoke import SmokeCheckout, smoke_checkout, smoke_test
from tasks.deploy.traffic_guard import old_version_serves_on_failure
from tasks.deploy.watch import await_share, require_silent_alarms
from tasks.platform.app_runner.service import await_deployment
from tasks.platform.health import await_revision
from tasks.platform.versions import Version, as_proven, choose_version
from tasks.run.hooks import on_bad_end
from tasks.run.lock import DeployLock, deploy_lock
from tasks.workspace.workspace import open_workspace


@flow(name="blue-green", flow_run_name="{version:.12} → {environment}", **on_bad_end(tell_failure))
def blue_green(
    version: Wanted = Field(description="What passed `ci`: a revision, a tag or a digest."),
    reason: Reason = Field(description="Why, for the ledger and Slack: 3 to 300 characters."),
    environment: Registered = Field(default="production", description="A registered environment."),
    plan: bool = Field(default=False, description="Only say what it would call."),
) -> str:
    """Bring a version up on the idle colour, prove it, move the traffic, watch, retire the old."""
    env = Environment.named(environment)
    wanted = choose_version(env, version)
    env = as_proven(env, wanted)
    if plan:
        return publish_dry_run(env, wanted)
    with open_workspace(env) as workspace, deploy_lock(env, "deploy", str(wanted), reason) as lock:
        announce_deploying(lock, wanted)
        live = put_live(lock, wanted, smoke_checkout(env, workspace, wanted))
        conclude_live(lock, wanted, live)
    return f"{wanted.revision} is live in {env.name} at {live.address}"


def put_live(lock: DeployLock, version: Version, checkout: SmokeCheckout | None) -> Live:
    """The steps by which every flow makes a version live."""
    if lock.environment.strategy == "in-place":
        return update_in_place(lock, version)
    snapshot = recover_colours(lock, version)
    if is_live_already(lock.environment, snapshot, version):
        await_share(lock, version, 100)
        return still_live(lock, snapshot, version)
    idle = lock.environment.on(snapshot.idle)
    with old_version_serves_on_failure(lock, snapshot) as guard:
        deployment = bring_up(lock, snapshot, snapshot.idle, version.image)
        service = await_deployment(idle, deployment, lock.ensure_held)
        address = await_revision(idle, service, version.revision, lock.ensure_held)
        smoke_test(checkout, version, address)
        warm_up(idle, address)
        ask_before_shift(lock, version)
        require_silent_alarms(lock)
        candidate = Candidate(version, snapshot.idle, service, deployment)
        shift_in_steps(lock, guard, snapshot, candidate)
        release = promote(lock, candidate)
    retire_or_keep_warm(lock, snapshot)
    return live_now(lock, snapshot, release)
