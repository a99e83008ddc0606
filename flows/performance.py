"""Report how often, how fast and how well we deliver: DORA's four keys, from the ledger."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from blocks.environment import Environment
from blocks.parameters import Registered
from tasks.maintenance.performance import read_performance, show_performance


@flow(name="performance", flow_run_name="performance of {environment}")
def performance(
    environment: Registered = Field(default="production", description="A registered environment."),
    weeks: Annotated[int, Field(ge=1, le=104)] = Field(
        default=12, description="How many whole weeks to look back."
    ),
) -> str:
    """Read every release, and report on the last weeks; change nothing."""
    env = Environment.named(environment)
    return show_performance(env, read_performance(env, weeks))
