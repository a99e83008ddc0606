"""Decide which tests a release must pass: what `test:all` means in this application."""

import re
from collections.abc import Mapping
from dataclasses import replace

from delivery.checks.plan import CheckPlan
from delivery.checks.table import PLACEHOLDER, SERVICES, TESTS, Check

ALL = "test:all"
TIMEOUT_S = 3600
_CHAIN = re.compile(r"npm run [A-Za-z0-9:._-]+(?: && npm run [A-Za-z0-9:._-]+)*")


def tests_of(plan: CheckPlan, scripts: Mapping[str, str]) -> CheckPlan:
    """Return the plan with the checks of a release only, and a remark on the choice.

    If `test:all` only runs scripts that are checks of the plan, one after the other, these checks
    apply: `ci` ran them, so that their pass for the same content still counts. Any other `test:all`
    is run as it is. Without one, every check of the plan that runs tests applies.
    """
    written = scripts.get(ALL)
    if written is None or PLACEHOLDER in written:
        chosen = tuple(check for check in plan.checks if _is_test(check))
        return _with(plan, chosen, f"there is no script `{ALL}`; {_what_applies(chosen)}")
    if parts := _parts(written, plan):
        named = ", ".join(f"`{check.script}`" for check in parts)
        return _with(plan, parts, f"`{ALL}` is {named}")
    whole = Check("test-all", script=ALL, timeout_s=TIMEOUT_S, services=SERVICES)
    return _with(plan, (whole,), f"`{ALL}` was run as it is")


def _parts(written: str, plan: CheckPlan) -> tuple[Check, ...]:
    """Return the checks that a chain of scripts consists of; none if it is anything else."""
    if not _CHAIN.fullmatch(written.strip()):
        return ()
    # A check that may fail, or has its own command, proves something else than the script.
    by_script = {
        check.script: check
        for check in plan.checks
        if check.script and not check.command and not check.may_fail
    }
    names = [part.removeprefix("npm run ") for part in written.strip().split(" && ")]
    return tuple(by_script[n] for n in names) if by_script.keys() >= set(names) else ()


def _is_test(check: Check) -> bool:
    return bool(check.script) and (check.name in TESTS or str(check.script).startswith("test"))


def _what_applies(chosen: tuple[Check, ...]) -> str:
    if not chosen:
        return "no script tests this application"
    return f"what applies is {', '.join(f'`{check.script}`' for check in chosen)}"


def _with(plan: CheckPlan, checks: tuple[Check, ...], remark: str) -> CheckPlan:
    return replace(plan, checks=checks, not_applicable=(), remarks=(*plan.remarks, remark))
