"""Which tests run one after the other, and which beside them."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
ROWS = ("engine", "github", "rest")
# They share the Docker engine, count its containers and fill both processors by themselves.
ON_THE_ENGINE = (
    *("flows/test_ci.py", "flows/test_any_repository.py", "flows/test_worker.py"),
    "flows/test_stage.py",
    *("sandbox/test_sandbox.py", "sandbox/test_engine.py", "sandbox/test_base_images.py"),
    *("sandbox/test_service_images.py", "sandbox/test_mongo_stand_in.py"),
    "sandbox/test_databases.py",
    *("sandbox/app_runner/test_containers.py", "tasks/", "deployments/"),
    # These only even out how long the two rows take.
    "flows/test_reconcile.py",
)
# They wait more than they compute, and so run beside both others.
WITH_GITHUB = (
    *("flows/test_pull_request", "flows/test_release", "sandbox/test_github"),
    *("deployments/test_ui.py", "deployments/test_server", "deployments/test_compose.py"),
    *("flows/test_rotate_secrets.py", "flows/test_rotated_email.py", "benchmarks/"),
)
# Of `make proof`, which takes hours and may be stopped early: every suite shows something first.
AT_THE_END = (
    "test_a_bad_day_of_any_operation",
    "test_the_schedules_notice_it_without_being_told_where",
    "test_single_and_double_crashes_leave_users_served_and_the_ledger_closed",
    "test_every_crash_leaves_one_comment_and_final_statuses",
    "test_every_double_crash_locks_nobody_out",
)


def pytest_configure():
    """What is drawn at random is drawn the same each time, unless another seed is given."""
    os.environ.setdefault("KANVARO_TEST_SEED", "20261123")


FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture
def figure(request):
    """Say what was counted, at the end of all tests: what a test prints is shown if it fails."""
    return request.config.stash.setdefault(FIGURES, []).append


def pytest_terminal_summary(terminalreporter, config):
    if figures := config.stash.get(FIGURES, []):
        terminalreporter.section("figures")
        for each in figures:
            terminalreporter.write_line(each)


def pytest_report_header():
    return f"samples are drawn by KANVARO_TEST_SEED={os.environ['KANVARO_TEST_SEED']}"


def pytest_addoption(parser):
    parser.addoption("--row", choices=ROWS, help="only the tests of one of the rows")


def pytest_collection_modifyitems(config, items):
    """Rows of tests, which `make test` runs side by side: all of them on two processors.

    A row has one Prefect server, one sandbox and one stand, which are slow to start.
    """
    wanted = config.getoption("--row")
    if wanted:
        others = [item for item in items if _row(item) != wanted]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if _row(item) == wanted]
    items.sort(key=_lateness)


def _lateness(item):
    name = item.originalname
    return AT_THE_END.index(name) + 1 if name in AT_THE_END else 0


def _row(item):
    path = str(item.path.relative_to(ROOT))
    if path.startswith(WITH_GITHUB):
        return "github"
    return "engine" if path.startswith(ON_THE_ENGINE) else "rest"
