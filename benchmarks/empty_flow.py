"""A flow that does nothing: what Prefect itself takes."""

from prefect import flow, task


@task
def nothing() -> None:
    """Do nothing."""


@flow(name="empty")
def empty() -> None:
    """Take one step."""
    nothing()
