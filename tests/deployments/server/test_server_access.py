"""What a command says where it cannot begin: no server, no pool, nobody who works."""

import os
import signal
import subprocess
import sys
import uuid

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_API_URL, temporary_settings

from delivery.errors import ConfigurationError, TimedOut
from deployments import register, run_progress, status
from deployments.run_progress import follow, run_with_tag
from deployments.server import worker
from deployments.server.server_access import command
from sandbox.parts.ports import free_port
from tests.databases import throwaway_server

POOL = "nobody-works"


@pytest.fixture(scope="module")
def backend():
    with throwaway_server():
        yield


@pytest.fixture
def nobody_answers(monkeypatch):
    url = f"http://127.0.0.1:{free_port()}/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    with temporary_settings({PREFECT_API_URL: url}):
        yield url


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("worker", worker.work),
        ("register", lambda: register._register(None, ".")),
        ("status", status.show),
    ],
)
def test_without_a_server_each_command_ends_in_a_sentence_and_what_to_do(
    nobody_answers, capsys, name, run
):
    assert command(name, run) == 2

    told = capsys.readouterr().err
    assert f"{name}: no Prefect server answers at {nobody_answers}" in told
    assert "make server" in told
    assert "Traceback" not in told


def test_a_worker_without_its_pool_says_that_nobody_registered(backend):
    with pytest.raises(ConfigurationError, match="no work pool 'delivery'") as raised:
        worker.require_pool()
    assert "make register" in raised.value.hint


def test_a_worker_serves_both_queues_or_the_one_that_is_named():
    assert worker.queue_option({}) == []
    assert worker.queue_option({"QUEUE": "stages"}) == ["--work-queue", "stages"]
    with pytest.raises(ConfigurationError, match="QUEUE=stage is no queue") as raised:
        worker.queue_option({"QUEUE": "stage"})
    assert "default, stages" in raised.value.hint


def test_status_of_an_environment_that_nobody_registered_names_it(backend, monkeypatch, capsys):
    monkeypatch.setenv("ENVIRONMENT", "moon")
    assert command("status", status.show) == 2

    told = capsys.readouterr().err
    assert "no environment is registered as 'moon'" in told
    assert "make register" in told


@flow
def waits():
    """Never begins: no worker is there."""


@pytest.fixture
def unattended(backend):
    """A run for a pool that no worker serves; its client and its tag."""
    tag = uuid.uuid4().hex
    with get_client(sync_client=True) as client:
        made = WorkPoolCreate(name=POOL, type="process")
        client.create_work_pool(made, overwrite=True)
        deployment = client.create_deployment(
            client.create_flow(waits), name="here", work_pool_name=POOL
        )
        client.create_flow_run_from_deployment(deployment, tags=[tag])
        yield client, tag


def test_a_run_that_nobody_picks_up_is_said_and_not_followed_for_ever(unattended, monkeypatch):
    client, tag = unattended
    monkeypatch.setattr(run_progress, "TO_BE_PICKED_UP_S", 0.2)
    told = []

    with pytest.raises(TimedOut, match="it is Scheduled"):
        follow(client, run_with_tag(client, tag).id, told.append, timeout_s=2)

    assert told == ["  nobody has picked the run up for a minute: is a worker of its pool running?"]


def test_a_run_that_is_never_created_is_not_waited_for_for_ever(unattended, monkeypatch):
    monkeypatch.setattr(run_progress, "TO_BE_PICKED_UP_S", 0.2)

    with pytest.raises(TimedOut, match="the run was not created"):
        run_with_tag(unattended[0], "no-such-tag")


def test_a_command_whose_reader_left_ends_without_a_word():
    program = "import sys; from deployments.server.server_access import command; "
    program += "sys.exit(command('status', lambda: print('production') or 0))"
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, timeout=120
    )
    os.close(writer)

    assert done.stderr == b""
    assert done.returncode == 128 + signal.SIGPIPE
