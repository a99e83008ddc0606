"""A dry run lists each call that a blue-green run would send, with before and after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from delivery.deploy.snapshot import Snapshot
from delivery.platform.app_runner import NextAction, is_within, next_step, normal
from delivery.text import cell

LONGEST_VALUE = 90


@dataclass(frozen=True)
class PlannedCall:
    """A call that would be sent: the operation, what it is sent to, and what it changes."""

    call: str
    target: str
    before: str
    after: str


def dry_run(
    snapshot: Snapshot,
    wanted: Mapping[str, Any],
    steps: Sequence[int],
    revision: str,
    keep_warm_s: float,
    *,
    has_default_origin: bool = True,
) -> list[PlannedCall]:
    """List the calls that would put `wanted` live, in order; none if it is live already.

    The ledger's own are said once: each other call has an intent written before and closed after.
    """
    idle = snapshot.idle
    route = snapshot.route
    is_at_rest = route is not None and not route.is_shifting
    if (
        route
        and is_at_rest
        and next_step(snapshot.services[route.live], wanted) is NextAction.NOTHING
    ):
        return []
    service = snapshot.services[idle]
    changes = [
        PlannedCall(
            "dynamodb:UpdateItem", "deploy lock, and every heartbeat", "free", "this run has it"
        ),
        PlannedCall("dynamodb:PutItem", "ledger", "", "an intent before each call below"),
        PlannedCall("dynamodb:TransactWriteItems", "ledger", "open", "each intent closed"),
    ]
    if route and route.is_shifting and next_step(service, wanted) is not NextAction.NOTHING:
        back = f"100 % on {route.live}"
        changes.append(PlannedCall("cloudfront-keyvaluestore:PutKey", "route", str(route), back))
    step = next_step(service, wanted)
    if step is NextAction.RESUME:
        changes.append(PlannedCall("apprunner:ResumeService", idle, "PAUSED", "RUNNING"))
        step = NextAction.UPDATE
    if step is NextAction.CREATE:
        changes.append(
            PlannedCall("apprunner:CreateService", idle, "no service", told_image(wanted))
        )
    elif step is not NextAction.NOTHING:
        seen = normal(service.settings) if service else {}
        for name, before, after in differences(seen, normal(wanted)):
            changes.append(PlannedCall("apprunner:UpdateService", f"{idle}: {name}", before, after))
    before = str(route) if route else "no route"
    for share in steps if route else [100]:
        after = f"{100 - share} % on {idle.other}, {share} % on {idle}"
        changes.append(PlannedCall("cloudfront-keyvaluestore:PutKey", "route", before, after))
        before = after
    if route:
        changes.append(
            PlannedCall("cloudfront-keyvaluestore:PutKey", "route", before, f"{idle} is live")
        )
    if has_default_origin:
        changes.append(
            PlannedCall("cloudfront:UpdateDistribution", "default origin", "", f"host of {idle}")
        )
    changes.append(
        PlannedCall("dynamodb:PutItem", "ledger", "", f"release {revision[:10]} on {idle}")
    )
    if route:
        when = f"after {keep_warm_s:g} s" if keep_warm_s else "at once"
        changes.append(
            PlannedCall("apprunner:PauseService", f"{idle.other}, {when}", "RUNNING", "PAUSED")
        )
    return changes


def differences(
    seen: Mapping[str, Any], wanted: Mapping[str, Any], inside: str = ""
) -> list[tuple[str, str, str]]:
    """List each setting that differs: its dotted name, what it is, and what it would be."""
    found = []
    for name, value in wanted.items():
        path = f"{inside}.{name}" if inside else name
        there = seen.get(name)
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            gone = {each: None for each in there if each not in value} if _is_whole(name) else {}
            found += differences(there, {**value, **gone}, path)
        elif not is_within(value, there):
            found.append((path, _end_of(there), _end_of(value)))
    return found


def as_text(changes: Sequence[PlannedCall]) -> str:
    """Format the dry run for a terminal, a line for each call."""
    lines = [f"{c.call}  {c.target}\n    {c.before or '-'}\n  → {c.after}" for c in changes]
    return "\n".join(lines) or "nothing would be changed: it is live as it is"


def as_markdown(changes: Sequence[PlannedCall]) -> str:
    """Format the dry run as a table."""
    if not changes:
        return "Nothing would be changed: it is live as it is.\n"
    rows = [
        f"| {cell(c.call)} | {cell(c.target)} | {cell(c.before)} | {cell(c.after)} |"
        for c in changes
    ]
    return "\n".join(["| call | of | before | after |", "|---|---|---|---|", *rows]) + "\n"


def told_image(wanted: Mapping[str, Any]) -> str:
    image: str = wanted["SourceConfiguration"]["ImageRepository"]["ImageIdentifier"]
    return _end_of(image.rpartition("/")[2])


def _is_whole(name: str) -> bool:
    """Maps that are replaced whole: what the new one lacks is taken away."""
    return name in ("RuntimeEnvironmentVariables", "RuntimeEnvironmentSecrets")


def _end_of(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= LONGEST_VALUE else f"…{text[1 - LONGEST_VALUE :]}"
