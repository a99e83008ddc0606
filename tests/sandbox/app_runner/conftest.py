"""Start emulators to test, and stop each at the end of its test."""

import pytest

from sandbox.app_runner import AppRunner
from sandbox.aws.aws import Aws
from tests.sandbox.app_runner.account import Account, programs


@pytest.fixture
def emulator():
    """Return a function that starts emulators with any options; stop them all at the end."""
    started = []

    def start(**options):
        options.setdefault("instances", programs())
        options.setdefault("time_scale", 0)
        app_runner = AppRunner(**options)
        app_runner.__enter__()
        started.append(app_runner)
        return Account(app_runner)

    yield start
    for app_runner in started:
        app_runner.__exit__(None, None, None)


@pytest.fixture
def account(emulator):
    return emulator()


@pytest.fixture(scope="session")
def aws():
    """Provide the rest of the account: secrets, logs, metrics and a registry."""
    with Aws() as aws:
        yield aws
