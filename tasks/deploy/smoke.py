"""Smoke tests are the application's own, run against a version that has no traffic yet."""

from dataclasses import dataclass

from prefect import State
from prefect.states import Completed

from blocks.environment import Environment
from delivery.checks.plan import CheckPlan
from delivery.errors import SmokeFailed
from delivery.workspace.package_json import read_package
from tasks import operation
from tasks.checks.install import install
from tasks.checks.plan import plan_checks
from tasks.containers.captured_output import format_outcome
from tasks.platform.versions import Version
from tasks.workspace.application import run_logged, volume_with
from tasks.workspace.checkout import Source
from tasks.workspace.committed import read_committed
from tasks.workspace.repository import check_out
from tasks.workspace.workspace import Workspace

SCRIPT = "test:smoke"
TIMEOUT_S = 300


@dataclass(frozen=True)
class SmokeCheckout:
    """A checkout from which smoke tests can run, with or without its packages installed."""

    environment: Environment
    source: Source
    workspace: Workspace
    plan: CheckPlan
    is_installed: bool

    @property
    def has_smoke_tests(self) -> bool:
        text = read_committed(self.source, f"{self.plan.table.folder}/package.json")
        return SCRIPT in read_package(text or "{}").scripts


def checkout_of_checks(
    environment: Environment,
    source: Source,
    workspace: Workspace,
    plan: CheckPlan,
    is_installed: bool,
) -> SmokeCheckout:
    """Return the checkout in which the checks of this run ran."""
    return SmokeCheckout(environment, source, workspace, plan, is_installed)


def smoke_checkout(
    environment: Environment, workspace: Workspace, version: Version
) -> SmokeCheckout:
    """Check out the version's own revision, as it was proven."""
    proven = version.proven
    source = check_out(environment, workspace, proven.repository, proven.revision, proven.ref)
    return SmokeCheckout(environment, source, workspace, plan_checks(environment, source), False)


def smoke_test(checkout: SmokeCheckout | None, version: Version, address: str) -> None:
    """Run the smoke tests of `version` at `address`, if it has any. Raises `SmokeFailed`.

    Without a checkout nothing runs: a rollback goes to a version that was live before.
    """
    if checkout is None:
        return
    if checkout.has_smoke_tests and not checkout.is_installed:
        install(checkout.environment, checkout.source, checkout.workspace, checkout.plan)
    run_smoke_tests(checkout, version, address)


@operation("smoke-test {version} at {address}")
def run_smoke_tests(checkout: SmokeCheckout, version: Version, address: str) -> State[None]:
    if not checkout.has_smoke_tests:
        return Completed(name="Not applicable", message=f"there is no script {SCRIPT}")
    env, plan = checkout.environment, checkout.plan
    argv = plan.manager.run(SCRIPT, f"--base-url={_seen_from_a_container(env, address)}")
    outcome = run_logged(
        env,
        checkout.workspace,
        volume_with(env, checkout.source, checkout.workspace, plan.images.usual),
        argv,
        image=plan.images.usual,
        folder=plan.table.folder,
        timeout_s=TIMEOUT_S,
        name="smoke-test",
        variables={"REVISION": version.revision},
    )
    if not outcome.passed:
        raise SmokeFailed(format_outcome("smoke tests", argv, outcome))
    return Completed(message=f"passed in {outcome.seconds:.1f} s")


def _seen_from_a_container(environment: Environment, address: str) -> str:
    """Return the address under which a container reaches the version; it has its own loopback."""
    if environment.loopback_for_checks is None:
        return address
    return address.replace("127.0.0.1", environment.loopback_for_checks)
