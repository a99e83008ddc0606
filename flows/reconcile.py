"""
Put in order what no run could: what a dead one left half done, on GitHub too, colours kept warm
too long, and old credentials that nobody uses any more. What it may not repair, drift and rotations
that stand still, is told to people once.

It never waits behind a living run, and changes nothing where all is as the ledger says.
"""

from prefect import flow
from pydantic import Field

from blocks.environment import Environment
from blocks.parameters import Registered
from tasks.deploy.conclusion import tell_failure
from tasks.github.superseded_runs import end_statuses_of_the_dead
from tasks.maintenance.alerts import announce_alerts, what_needs_a_person
from tasks.maintenance.reconcile import (
    announce_recovery,
    in_words,
    pause_overdue,
    what_is_overdue,
    what_was_left,
)
from tasks.rotation.retirement import announce_retirement, retire_due, what_is_due
from tasks.run.lock import deploy_lock_unless_held


# Only a failure is reported from here: the next run, ten minutes later, does what a crashed or
# cancelled one did not, and the server itself reports a crash (deployments/server/automations.py).
@flow(name="reconcile", flow_run_name="reconcile {environment}", on_failure=[tell_failure])
def reconcile(
    environment: Registered = Field(default="production", description="A registered environment."),
) -> str:
    """Settle what dead runs left, pause and retire what is due, tell what only a person can."""
    env = Environment.named(environment)
    end_statuses_of_the_dead(env)
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
        announce_recovery(lock, pause_overdue(lock), left)
        told = announce_retirement(lock, retire_due(lock, due))
    if not left and not due:  # whoever was at it has ended by itself
        return f"{env.name} is in order"
    return f"{env.name}: settled {in_words(left, due)}" + (f"; {told}" if told else "")
