"""A holder describes this run as the owner of a deploy lock: what it does, for whom and why."""

import time
from typing import Any

from prefect.context import FlowRunContext

from delivery.run.ledger import Holder


def this_holder(kind: str, title: str, reason: str) -> Holder:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("only a run can hold a deploy lock")
    run = context.flow_run
    # Prefect makes the runs of a schedule long before they are due.
    times = [moment for moment in (run.created, run.expected_start_time) if moment]
    asked = max(times, default=None)
    return Holder(
        run=str(run.id),
        title=title,
        kind=kind,
        actor=actor_of(run),
        reason=reason,
        asked=round(asked.timestamp(), 3) if asked else round(time.time(), 3),
    )


def actor_of(run: Any) -> str:
    """Return who asked for a run: a tag `by:NAME`, what Prefect knows, or `not named`."""
    named = [tag.removeprefix("by:") for tag in run.tags if tag.startswith("by:")]
    by = run.created_by.display_value if run.created_by else None
    return (named[0] if named else by) or "not named"
