from dataclasses import replace

import pytest

from delivery.checks.images import Images
from delivery.checks.plan import (
    CheckPlan,
    CheckReport,
    applicable,
    is_cacheable,
    passes_alone,
    proof_key,
    raise_failures,
)
from delivery.checks.table import DEFAULT_TABLE, Check, StageTable
from delivery.errors import CheckFailed, CheckTimedOut
from delivery.workspace.packages import Manager

NPM = Manager("npm", ("npm",), ("npm", "ci"))
LINT = Check("lint", script="lint", timeout_s=60)
UNIT = Check("unit", script="test:unit", timeout_s=600, services=("redis",))
USUAL, BROWSER = "node:22-bookworm", "mcr.microsoft.com/playwright:v1.50.0-noble"
PLAN = CheckPlan(
    StageTable((LINT, UNIT)),
    NPM,
    Images(USUAL, BROWSER),
    {USUAL: "sha256:1", BROWSER: "sha256:2"},
    (LINT, UNIT),
    (),
)
IMAGES = {"redis": "redis:7-alpine"}


def key(tree="t1", check=UNIT, plan=PLAN, images=IMAGES):
    return proof_key(tree, check, plan, images)


def test_the_same_content_has_the_same_key():
    assert key() == key()


@pytest.mark.parametrize(
    "other",
    [
        key(tree="t2"),
        key(check=replace(UNIT, timeout_s=601)),
        key(check=replace(UNIT, environment={"A": "1"})),
        key(plan=replace(PLAN, tools={USUAL: "sha256:3"})),
        key(check=replace(UNIT, browser=True)),
        key(check=replace(UNIT, alone=True)),
        key(plan=replace(PLAN, manager=replace(NPM, install=("npm", "ci", "--ignore-scripts")))),
        key(images={"redis": "kanvaro-sandbox/redis-debian:7"}),
    ],
)
def test_whatever_can_change_a_verdict_changes_the_key(other):
    assert other != key()


def test_the_image_in_which_another_check_runs_is_no_matter():
    assert key(plan=replace(PLAN, tools={**PLAN.tools, BROWSER: "sha256:4"})) == key()
    assert key(
        check=replace(UNIT, browser=True), plan=replace(PLAN, tools={**PLAN.tools, BROWSER: "x"})
    ) != key(check=replace(UNIT, browser=True))


def test_the_image_of_a_service_that_a_check_does_not_use_is_no_matter():
    assert key(images={**IMAGES, "mongodb": "x"}) == key(images={**IMAGES, "mongodb": "y"})


def test_a_scanners_pass_is_not_remembered():
    cacheable = {check.name: is_cacheable(check) for check in DEFAULT_TABLE.checks}

    assert not cacheable["security"]
    assert cacheable["unit"]


def test_a_failure_that_is_allowed_is_not_remembered_as_a_proof():
    assert not is_cacheable(replace(UNIT, may_fail=True))


def test_a_check_without_its_script_is_not_applicable():
    checks, left_out = applicable(PLAN.table, {"lint": "eslint ."})

    assert checks == (LINT,)
    assert left_out == (("unit", "not applicable: no script `test:unit`"),)


def test_a_required_check_without_its_script_stops_the_run():
    table = StageTable((replace(UNIT, required=True),))

    with pytest.raises(CheckFailed, match="`test:unit` for unit"):
        applicable(table, {})


def test_the_failure_that_came_first_is_raised_and_every_other_is_named_with_its_first_error():
    reports = [CheckReport("lint", "passed", 1)]
    types = CheckFailed(
        "types: `npm run types` ended with exit code 2 after 3.0 s; its last lines:\n"
        "> tsc --noEmit\n"
        "src/a.ts(1,7): error TS2322: Type 'string' is not assignable to type 'number'.\n"
        "src/b.ts(2,1): error TS2304: Cannot find name 'x'."
    )

    with pytest.raises(CheckTimedOut, match="unit took too long") as raised:
        raise_failures(reports, [CheckTimedOut("unit took too long"), types])

    first, also, others = str(raised.value).splitlines()
    assert first == "unit took too long"
    assert also == (
        "also failed: types: `npm run types` ended with exit code 2 after 3.0 s: "
        "src/a.ts(1,7): error TS2322: Type 'string' is not assignable to type 'number'."
    )
    assert others == "(the others: lint passed)"


def test_no_failure_is_no_error():
    raise_failures([], [])


def test_a_check_that_passes_alone_says_beside_what_it_failed_and_what_to_write():
    report = passes_alone(CheckReport("unit", "passed", 1, ("redis was a stand-in",)), ("lint",))

    assert report.verdict == "passes alone"
    remark, kept = report.remarks
    assert "failed beside lint" in remark
    assert "[checks.unit] alone = true" in remark
    assert kept == "redis was a stand-in"
