"""
Recover what killed runs left, and retire what is due.

    (a living run holds the lock: end) ─ what is left? ─ recover what killed runs left ─┐
    alert people ◀─ retire credentials ◀─ pause the overdue colour ◀────────────────────┘
        recover: fence the dead run off ─ look ─ put a half-done shift back
                   ─ close open intents ─ compare with the ledger ─ lead the default origin
        alert: drift and rotations that stand still need a person; also bounds the worker's disk
"""

from prefect import flow
from pydantic import Field

from blocks.environment import Environment
from blocks.parameters import Registered
from delivery.deploy.snapshot import Snapshot
from tasks.deploy import recovery
from tasks.deploy.conclusion import tell_failure
from tasks.github.superseded_runs import end_statuses_of_the_dead
from tasks.maintenance.alerts import announce_alerts, what_needs_a_person
from tasks.maintenance.disk import give_back_disk
from tasks.maintenance.reconcile import (
    announce_recovery,
    in_words,
    pause_overdue,
    what_is_overdue,
    what_was_left,
)
from tasks.platform.versions import Version
from tasks.rotation.retirement import announce_retirement, retire_due, what_is_due
from tasks.run.lock import DeployLock, deploy_lock_unless_held


# No other hook: the server reports a crash, and the next run, in ten minutes, does the work.
@flow(name="reconcile", flow_run_name="reconcile {environment}", on_failure=[tell_failure])
def reconcile(
    environment: Registered = Field(default="production", description="A registered environment."),
) -> str:
    """Finish what killed runs left, pause and retire what is due, tell what only people can do."""
    env = Environment.named(environment)
    end_statuses_of_the_dead(env)
    give_back_disk(env)
    done = put_in_order(env, what_is_overdue(env), what_is_due(env))
    alerts = announce_alerts(env, what_needs_a_person(env))
    return f"{done}; A PERSON HAS TO LOOK: {alerts}" if alerts else done


def put_in_order(env: Environment, overdue: list[str], due: list[str]) -> str:
    """Repair what is safe to repair, under a lock of its own; what was done, in a sentence."""
    if not overdue and not due:
        return f"{env.name} is in order"
    with deploy_lock_unless_held(env, "reconcile", in_words(overdue, due)) as lock:
        if lock is None:
            return f"a living run holds the deploy lock in {env.name}"
        left = what_was_left(lock)
        snapshot = recover_interrupted(lock)
        announce_recovery(lock, pause_overdue(lock, snapshot), left)
        sentence = announce_retirement(lock, retire_due(lock, due))
    if not left and not due:  # the run that was at work has ended by itself
        return f"{env.name} is in order"
    return f"{env.name}: recovered {in_words(left, due)}" + (f"; {sentence}" if sentence else "")


def recover_interrupted(lock: DeployLock) -> Snapshot | None:
    """Put right what a killed run left half done; both colours afterwards, if there are any."""
    if lock.environment.strategy == "blue-green":
        return recover_colours(lock, None)
    recovery.close_open_intents(lock, None)
    return None


def recover_colours(lock: DeployLock, version: Version | None) -> Snapshot:
    """The steps of a recovery; a half-done shift of this run's own `version` goes on."""
    recovery.fence_dead_run(lock)
    snapshot = recovery.look_at_colours(lock)
    snapshot = recovery.undo_half_done_shift(lock, snapshot, version)
    recovery.close_open_intents(lock, snapshot)
    recovery.require_no_drift(lock, snapshot)
    recovery.lead_default_origin_to_live(lock, snapshot)
    return snapshot
