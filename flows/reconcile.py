"""
Put in order what no run could: what a dead one left half done, and colours kept warm too long.

It never waits behind a living run, and changes nothing where all is as the ledger says.
"""

from prefect import flow
from pydantic import Field

from blocks.environment import Environment
from tasks.conclusion import tell_failure
from tasks.tidying import pause_overdue, tell_what_was_settled, what_is_overdue
from tasks.turn import turn_unless_taken


@flow(name="reconcile", flow_run_name="reconcile {environment}", on_failure=[tell_failure])
def reconcile(
    environment: str = Field(default="production", description="Name of a registered environment."),
) -> str:
    """Settle what dead runs left, and pause the colour whose warm time is over."""
    env = Environment.named(environment)
    overdue = what_is_overdue(env)
    if not overdue:
        return f"{env.name} is in order"
    with turn_unless_taken(env, "reconcile", "; ".join(overdue)) as turn:
        if turn is None:
            return f"a living run has the turn in {env.name}"
        tell_what_was_settled(turn, pause_overdue(turn), overdue)
    return f"{env.name}: settled {'; '.join(overdue)}"
