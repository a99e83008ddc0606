"""Answer in a second what is live, whether it is well, and how to get back."""

from prefect import flow
from pydantic import Field

from blocks.environment import Environment
from blocks.parameters import Registered
from tasks.maintenance.status import read_status, show_status


@flow(name="status", flow_run_name="status of {environment}")
def status(
    environment: Registered = Field(default="production", description="A registered environment."),
) -> str:
    """Read the cloud and the ledger, and say what a person on call wants to know."""
    return show_status(read_status(Environment.named(environment)))
