"""The report about deliveries: read from the ledger, published as an artifact and in Slack."""

from datetime import UTC, datetime

from prefect.artifacts import create_image_artifact, create_markdown_artifact

from blocks.environment import Environment
from delivery.maintenance.performance import (
    FOUR_KEYS,
    Performance,
    as_markdown,
    performance_message,
    performance_of,
)
from tasks import fact, operation
from tasks.aws_errors import translate_aws_errors
from tasks.maintenance.performance_plot import as_data_url, drawn
from tasks.run import ledger
from tasks.run.announce import announce, run_url, this_run


@fact("how was {environment.name} delivered to in the last {weeks} weeks?")
def read_performance(environment: Environment, weeks: int) -> Performance:
    """Read the releases of the last whole weeks, with the times of their commits."""
    with translate_aws_errors("read the ledger"):
        releases = list(ledger.read_releases(environment))
        proofs = {each.digest: each for each in ledger.read_proven(environment, "")}
    return performance_of(environment.name, releases, proofs, datetime.now(UTC).date(), weeks)


@operation("show how {performance.environment} was delivered to")
def show_performance(environment: Environment, performance: Performance) -> str:
    """Publish the report and its plot, post its figures to Slack, and return them."""
    create_markdown_artifact(
        as_markdown(performance),
        key=f"performance-{environment.name}",
        description=f"How {environment.name} was delivered to",
    )
    create_image_artifact(
        as_data_url(drawn(performance)),
        key=f"performance-plot-{environment.name}",
        description=f"The weeks of {environment.name}",
    )
    message = performance_message(performance, run_url(environment, this_run()))
    announce(environment, message, first=True)
    return "; ".join(f"{name}: {tell(performance)}" for name, tell in FOUR_KEYS.items())
