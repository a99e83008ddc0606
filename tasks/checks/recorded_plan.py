"""Record the plan of a run, so that the summary of a run that failed tells of it, too."""

from prefect.artifacts import create_table_artifact

from delivery.checks.plan import CheckPlan
from delivery.run.summary import PLAN, rows_of_plan


def record_plan(plan: CheckPlan) -> None:
    """Save what was left out of the checks, and the remarks about the choice, as an artifact."""
    if rows := rows_of_plan(plan.remarks, plan.not_applicable):
        create_table_artifact(
            rows, key=PLAN, description="What was left out of the checks, and remarks"
        )
