"""Provide the Docker engine for tests that need one."""

import pytest

from sandbox.host.engine import docker_engine


@pytest.fixture(scope="session")
def client():
    try:
        found = docker_engine().client()
    except Exception as unavailable:
        pytest.skip(f"no Docker engine: {unavailable}")
    yield found
    found.close()
