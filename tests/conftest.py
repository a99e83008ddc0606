"""Divide the tests into rows, which run in parallel."""

import atexit
import os
import ssl
import tempfile
import time
from functools import cache
from pathlib import Path

import certifi
import pytest
from botocore.client import ClientCreator

ROOT = Path(__file__).parent
ROWS = ("engine", "github", "rest")
# It compares what all rows recorded, and so runs after them.
AFTER_THE_ROWS = "test_permissions.py"
# They share the Docker engine, count its containers and keep both processors busy by themselves.
ON_THE_ENGINE = (
    *("flows/checks/", "sandbox/test_sandbox.py", "sandbox/host/test_engine.py"),
    *("sandbox/images/", "sandbox/databases/"),
    *("sandbox/app_runner/test_containers.py", "blocks/", "tasks/", "deployments/"),
    # These only balance the duration of the two rows.
    *("flows/maintenance/test_reconcile.py", "flows/deploy/test_rollback.py"),
)
# They wait more than they compute, and so run beside both other rows.
WITH_GITHUB = (
    *("flows/github/", "flows/release/", "flows/rotation/", "sandbox/github/"),
    *("deployments/server/test_ui.py", "deployments/server/test_server.py"),
    *("deployments/server/test_security.py", "deployments/server/test_compose.py"),
    "benchmarks/",
)
# In `make proof`, which takes hours and may be stopped early, every suite begins with a part.
AT_THE_END = (
    "test_a_bad_day_of_any_operation",
    "test_the_schedules_notice_it_without_being_told_where",
    "test_single_and_double_crashes_leave_users_served_and_the_ledger_closed",
    "test_every_crash_leaves_one_comment_and_final_statuses",
    "test_every_double_crash_locks_nobody_out",
)


def pytest_configure():
    """Set the seed of random tests, which is the same each time unless another one is given."""
    _require_rows_of_tests_that_exist()
    os.environ.setdefault("KANVARO_TEST_SEED", "20261123")
    # Each Prefect client, here and in processes that tests start, loads all certificates that it
    # trusts, in 25 ms. The servers of the tests use no TLS, so one certificate is enough.
    os.environ.setdefault("PREFECT_API_SSL_CERT_FILE", _one_authority())


def _require_rows_of_tests_that_exist():
    """Fail if a listed test does not exist: a moved test would silently change its row."""
    tests = [str(path.relative_to(ROOT)) for path in ROOT.rglob("test_*.py")]
    for beginning in (*ON_THE_ENGINE, *WITH_GITHUB, AFTER_THE_ROWS):
        if not any(test.startswith(beginning) for test in tests):
            raise pytest.UsageError(f"tests/conftest.py names {beginning!r}: no test begins so")


def _one_authority():
    end = "-----END CERTIFICATE-----\n"
    kept = Path(tempfile.gettempdir()) / f"kanvaro-tests-authority-{os.getpid()}.pem"
    atexit.register(kept.unlink, missing_ok=True)
    kept.write_text(Path(certifi.where()).read_text().partition(end)[0] + end)
    return str(kept)


FIGURES = pytest.StashKey[list[str]]()
BEGAN = pytest.StashKey[float]()


@pytest.fixture(scope="session", autouse=True)
def authorities_read_once():
    """Load the certificates once, since every client of httpx loads all of them, too."""
    make, usual = ssl.create_default_context, (certifi.where(), os.environ.get("SSL_CERT_FILE"))
    made = cache(lambda file: make(cafile=file))

    def once(*given, **more):
        file = more.get("cafile")
        is_usual = file in usual and not given and len(more) == 1
        return made(file) if is_usual else make(*given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", once)
        yield


@pytest.fixture(scope="session", autouse=True)
def client_classes_made_once():
    """Cache boto3's classes: it makes one for each client, with a method for each operation."""
    make, made = ClientCreator._create_client_class, {}

    def once(creator, name, model):
        if name not in made:
            made[name] = make(creator, name, model)
        return made[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClientCreator, "_create_client_class", once)
        yield


@pytest.fixture
def figure(request):
    """Print a figure at the end of all tests: a test's own output is shown only if it fails."""
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
    parser.addoption("--begin-within", type=float, help="begin no test after so many minutes")


def pytest_sessionstart(session):
    session.stash[BEGAN] = time.monotonic()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """End the session between two tests once its time is up.

    A signal from outside would hit a test in the middle; a flow run may catch it and go on.
    """
    result = yield
    session, minutes = item.session, item.config.getoption("--begin-within")
    if minutes and nextitem and time.monotonic() - session.stash[BEGAN] > minutes * 60:
        left = len(session.items) - session.items.index(nextitem)
        session.shouldstop = f"{minutes:g} minutes are over; {left} tests did not begin"
    return result


def pytest_sessionfinish(session):
    """Let a session whose time is up pass if no test failed; its last line counts the rest."""
    if str(session.shouldstop).endswith("did not begin") and not session.testsfailed:
        session.exitstatus = pytest.ExitCode.OK


def pytest_ignore_collect(collection_path, config):
    """Select the tests of one row: `make test` runs the rows in parallel, all on two processors.

    A row has one Prefect server, one sandbox and one stand, which are slow to start; it does not
    even import what the others need.
    """
    wanted = config.getoption("--row")
    if wanted and collection_path.name.startswith("test_") and collection_path.suffix == ".py":
        return _row(collection_path) != wanted or None
    return None


def pytest_collection_modifyitems(items):
    items.sort(key=_lateness)


def _lateness(item):
    name = item.originalname
    return AT_THE_END.index(name) + 1 if name in AT_THE_END else 0


def _row(file):
    path = str(file.relative_to(ROOT))
    if path == AFTER_THE_ROWS:
        return "none"
    if path.startswith(WITH_GITHUB):
        return "github"
    return "engine" if path.startswith(ON_THE_ENGINE) else "rest"
