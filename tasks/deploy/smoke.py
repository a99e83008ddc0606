"""The application's own smoke tests, against a version that has no traffic yet."""

import json
from dataclasses import dataclass

from prefect import State
from prefect.states import Completed

from blocks.environment import Environment
from delivery.checks.plan import Plan
from delivery.errors import SmokeFailed
from tasks import operation
from tasks.checks.plan import plan_checks
from tasks.checks.runner import install, run_logged, told
from tasks.platform.versions import Version
from tasks.workspace.checkout import Source
from tasks.workspace.committed import read_committed
from tasks.workspace.repository import check_out
from tasks.workspace.workspace import Workspace

SCRIPT = "test:smoke"
TIMEOUT_S = 300


@dataclass(frozen=True)
class Bench:
    """A check-out from which smoke tests can be run, with or without its packages installed."""

    environment: Environment
    source: Source
    place: Workspace
    plan: Plan
    is_installed: bool

    @property
    def has_smoke_tests(self) -> bool:
        text = read_committed(self.source, f"{self.plan.table.folder}/package.json")
        return SCRIPT in json.loads(text or "{}").get("scripts", {})


def bench_for(environment: Environment, place: Workspace, version: Version) -> Bench:
    """A check-out of the version's own revision, as it was proven."""
    proven = version.proven
    source = check_out(environment, place, proven.repository, proven.revision, proven.ref)
    return Bench(environment, source, place, plan_checks(environment, source), False)


def smoke_test(bench: Bench | None, version: Version, address: str) -> None:
    """Run the smoke tests of `version` at `address`, if it has any. Raises `SmokeFailed`.

    No bench: the version was live before, and its source is not asked for at such a time.
    """
    if bench is None:
        return
    if bench.has_smoke_tests and not bench.is_installed:
        install(bench.environment, bench.place, bench.plan)
    run_smoke_tests(bench, version, address)


@operation("smoke-test {version} at {address}")
def run_smoke_tests(bench: Bench, version: Version, address: str) -> State[None]:
    if not bench.has_smoke_tests:
        return Completed(name="Not applicable", message=f"there is no script {SCRIPT}")
    argv = bench.plan.manager.run(SCRIPT, f"--base-url={address}")
    outcome = run_logged(
        argv,
        bench.place,
        folder=bench.place.source / bench.plan.table.folder,
        timeout_s=TIMEOUT_S,
        name="smoke",
        variables={"REVISION": version.revision},
    )
    if not outcome.passed:
        raise SmokeFailed(told("smoke tests", argv, outcome))
    return Completed(message=f"passed in {outcome.seconds:.1f} s")
