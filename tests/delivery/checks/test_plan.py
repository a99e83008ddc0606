from dataclasses import replace

import pytest

from delivery.checks.images import Images
from delivery.checks.plan import (
    CheckPlan,
    CheckReport,
    applicable,
    first_failure,
    is_cacheable,
    next_check,
    proof_key,
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


def test_the_longest_goes_first_and_beside_it_the_shortest():
    checks = list(DEFAULT_TABLE.checks)

    first = next_check(checks, [])
    assert first.name == "e2e"
    assert next_check([c for c in checks if c is not first], [first]).timeout_s == min(
        c.timeout_s for c in checks
    )


def test_the_failure_that_came_first_is_the_one_that_is_raised():
    reports = [CheckReport("lint", "passed", 1)]

    with pytest.raises(CheckTimedOut, match="unit took too long") as raised:
        first_failure(reports, [CheckTimedOut("unit took too long"), CheckFailed("types")])

    assert "lint passed" in str(raised.value)


def test_no_failure_is_no_error():
    first_failure([], [])
