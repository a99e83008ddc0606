"""Which tests run one after the other, and which beside them."""

import os
import secrets
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
# They share the Docker engine, count its containers and fill both processors by themselves.
ON_THE_ENGINE = (
    *("flows/test_ci.py", "flows/test_any_repository.py", "flows/test_worker.py"),
    *("sandbox/test_sandbox.py", "sandbox/test_engine.py", "sandbox/test_base_images.py"),
    *("sandbox/test_service_images.py", "sandbox/test_mongo_stand_in.py"),
    *("sandbox/app_runner/test_containers.py", "tasks/", "deployments/"),
)


def pytest_configure():
    """Both processes draw the same samples: the first of them hands its environment down."""
    os.environ.setdefault("KANVARO_TEST_SEED", str(secrets.randbelow(10**6)))


def pytest_report_header():
    return f"KANVARO_TEST_SEED={os.environ['KANVARO_TEST_SEED']} draws the same samples again"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Two rows of tests, for two processors: `--dist loadgroup` keeps each in one process.

    A row has one Prefect server, one sandbox and one stand, which are slow to start.
    """
    for item in items:
        path = str(item.path.relative_to(ROOT))
        row = "with the engine" if path.startswith(ON_THE_ENGINE) else "without"
        item.add_marker(pytest.mark.xdist_group(row))
