"""A flow that does nothing, to measure Prefect's own share."""

from prefect import flow, task


@task
def nothing() -> None:
    """Do nothing."""


@flow(name="empty")
def empty() -> None:
    """Take one step."""
    nothing()
