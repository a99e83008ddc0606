"""Plan a run: which checks apply to a revision, and how each is started."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

from delivery.checks.coverage import Coverage
from delivery.checks.images import Images, image_of
from delivery.checks.table import Check, StageTable
from delivery.errors import CheckFailed
from delivery.workspace.error_lines import in_a_line
from delivery.workspace.package_managers import Manager

PASSES_ALONE = "passes alone"
# Raise this when the pass of a check comes to mean something else: remembered passes are then void.
PROOF = 3


class NotApplicable(NamedTuple):
    """A check that does not apply to an application, and the reason."""

    check: str
    why: str


@dataclass(frozen=True)
class CheckPlan:
    """What a run will do with one checkout, decided before anything runs.

    `images` are the names of the container images in which its programs run, and `tools` maps each
    that is used to the id of its content, once it is known; `remarks` are notes for the reader of
    the summary.
    """

    table: StageTable
    manager: Manager
    images: Images
    tools: Mapping[str, str]
    checks: tuple[Check, ...]
    not_applicable: tuple[NotApplicable, ...]
    remarks: tuple[str, ...] = ()

    def command(self, check: Check) -> tuple[str, ...]:
        """Return the argument list that runs a check."""
        return check.command or self.manager.run(check.script or check.name)

    def image(self, check: Check) -> str:
        """Return the name of the image in which a check runs."""
        return image_of(check, self.images)

    @property
    def needed_images(self) -> tuple[str, ...]:
        """The names of all images in which packages are installed or a check runs, each once."""
        of_checks = [self.image(check) for check in self.checks if not check.scanners]
        return tuple(dict.fromkeys([self.images.usual, *of_checks]))


@dataclass(frozen=True)
class CheckReport:
    """The result of one check: its verdict, its seconds, and notes for the reader of the summary.

    `coverage` is what it measured, if it measured any.
    """

    name: str
    verdict: str
    seconds: float
    remarks: tuple[str, ...] = ()
    coverage: Coverage | None = None


def applicable(
    table: StageTable, scripts: Mapping[str, str]
) -> tuple[tuple[Check, ...], tuple[NotApplicable, ...]]:
    """Choose the checks that apply to an application with these scripts; why others do not.

    A check whose script has one of its other names carries that name. Raises `CheckFailed` when a
    required check has no script.
    """
    if missing := table.missing(scripts):
        named = ", ".join(f"`{check.script}` for {check.name}" for check in missing)
        raise CheckFailed(
            f"package.json lacks required scripts: {named}",
            hint="Add the script, or take `required` out of delivery.toml.",
        )
    reasons = [(check, check.why_not_applicable(scripts)) for check in table.checks]
    return (
        tuple(
            replace(check, script=check.script_among(scripts) if check.script else None)
            for check, why in reasons
            if why is None
        ),
        tuple(NotApplicable(check.name, why) for check, why in reasons if why is not None),
    )


def remarks_about(table: StageTable, checks: Sequence[Check]) -> tuple[str, ...]:
    """Say what a reader of the summary should know about the choice of the checks."""
    remarks = [
        f"{check.name} is the script `{check.script}`: there is no `{asked.script}`"
        for check in checks
        if (asked := table.check(check.name)) and asked.script != check.script
    ]
    if all(check.scanners for check in checks):
        remarks.append("none of the application's own checks ran: no script matches any of them")
    if not table.answers_revision:
        remarks.append("any answer of 200 counts: the application does not say its revision")
    return tuple(remarks)


def is_cacheable(check: Check) -> bool:
    """Return whether the pass of a check is remembered.

    That of a scanner is not, since advisories are published daily; nor that of a check that may
    fail, since its failure would count as a proof.
    """
    return not check.scanners and not check.may_fail


def proof_key(tree: str, check: Check, plan: CheckPlan, service_images: Mapping[str, str]) -> str:
    """Return the key under which a pass of `check` is remembered.

    It covers everything that can change the verdict: the committed tree (and so the lockfile), the
    check's definition, how packages are installed, the images in which they are installed and the
    check runs, and those of the services.
    """
    covered = {
        "proof": PROOF,
        "tree": tree,
        "folder": plan.table.folder,
        "check": asdict(check),
        "manager": asdict(plan.manager),
        "images": [plan.tools.get(name) for name in (plan.images.usual, plan.image(check))],
        "services": {name: service_images.get(name, "") for name in check.services},
    }
    text = json.dumps(covered, sort_keys=True, default=list)
    return f"check-{check.name}-{hashlib.sha256(text.encode()).hexdigest()}"


def passes_alone(report: CheckReport, beside: Sequence[str]) -> CheckReport:
    """Return the report of a check that failed beside others and passed when it was repeated."""
    remark = (
        f"failed beside {', '.join(beside)}; if they disturb it, write in delivery.toml: "
        f"[checks.{report.name}] alone = true"
    )
    return replace(report, verdict=PASSES_ALONE, remarks=(remark, *report.remarks))


def raise_failures(reports: Sequence[CheckReport], failures: Sequence[CheckFailed]) -> None:
    """Raise the first failure, if there is one, with all others that are known, each in a line."""
    if not failures:
        return
    first, *rest = failures
    also = [f"also failed: {in_a_line(str(failure))}" for failure in rest]
    others = ", ".join(f"{report.name} {report.verdict}" for report in reports)
    told = "\n".join([str(first), *also, f"(the others: {others or 'none had ended'})"])
    raise type(first)(told, hint=first.hint)
