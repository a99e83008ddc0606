"""Runs in containers of the worker image, by Prefect's own Docker worker."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from delivery.patience import Patience, wait_until
from deployments.server.processes import prefect_server, using
from deployments.server.work_pools import POOL, ensure_pool
from sandbox.parts import lifeline
from tests.deployments.conftest import WORKER_IMAGE

pytestmark = pytest.mark.proof

HERE = Path(__file__).parent / "container"
PATIENCE = Patience(timeout=280, interval=0.5)


def said_by(engine, image, *command):
    return engine.containers.run(
        image.id, list(command), remove=True, cap_drop=["ALL"], network_mode="none"
    ).decode()


def test_the_image_has_what_checks_need_and_nobody_in_it_is_root(engine, worker_image):
    script = "id -u; node --version; npm --version; git --version"
    said = said_by(engine, worker_image, "sh", "-c", script)
    assert said.startswith("10001\nv22.")
    # Where what is to outlive a container is kept: ~/.cache/kanvaro-delivery on its volume.
    assert said_by(engine, worker_image, "sh", "-c", "echo ~") == "/workshop\n"
    assert "git version" in said
    # Images are built by it, with BuildKit.
    assert said_by(engine, worker_image, "docker", "--version").startswith("Docker version 20.10.")
    assert "imported" in said_by(
        engine,
        worker_image,
        "python",
        "-c",
        "import flows.ci, flows.rotate_secrets; print('imported')",
    )


def test_the_reaper_finds_its_code_in_the_image(engine, worker_image):
    """What a run leaves in the engine is removed by it: here it gets as far as asking an engine."""
    reap = "echo '{}' | python -I tasks/containers/reaper.py some-run 2>&1 || true"

    said = said_by(engine, worker_image, "sh", "-c", reap)

    assert "ModuleNotFoundError" not in said
    assert "DockerException" in said


def test_the_image_holds_code_only(engine, worker_image):
    listed = said_by(engine, worker_image, "find", "/opt/kanvaro", "-maxdepth", "1").split()
    expected = ("blocks", "delivery", "deployments", "flows", "tasks")
    assert sorted(listed) == ["/opt/kanvaro", *(f"/opt/kanvaro/{name}" for name in expected)]


@pytest.fixture(scope="module")
def gate():
    """A folder that the container and we share."""
    made = Path(tempfile.mkdtemp(prefix="kanvaro-gate-"))
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def pool(tmp_path_factory, engine, worker_image):
    """A server on loopback, a docker pool on it, and Prefect's worker for that.

    A worker hands its own settings of Prefect to its containers, and no container has a file of
    ours: so this one has none of the authorities that tests trust.
    """
    folder = tmp_path_factory.mktemp("docker-pool")
    given = {**os.environ}
    given.pop("PREFECT_API_SSL_CERT_FILE", None)
    with prefect_server(folder) as server, using(server):
        ensure_pool("docker", {**os.environ, "WORKER_IMAGE": WORKER_IMAGE})
        with (folder / "worker.log").open("wb") as log:
            command = ["worker", "start", "--pool", POOL]  # as `make worker`: of the pool's type
            worker = subprocess.Popen(
                [sys.executable, "-m", "prefect", *command],
                env={**given, **server.settings},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        yield
        lifeline.end(worker, 20)  # Prefect's worker was seen to hang at its end


def test_a_container_that_is_stopped_gives_its_run_back_and_the_next_one_completes_it(
    engine, pool, gate
):
    run = started(gate)
    first = container_of(engine, run)
    wait_until(lambda: list(gate.glob("began-*")), bool, PATIENCE, what="the flow to begin")
    assert next(gate.glob("began-*")).read_text() == "10001 /flow"

    first.stop(timeout=60)  # SIGTERM, as when its machine is replaced

    second = wait_until(
        lambda: [one for one in containers(engine, run) if one.id != first.id],
        bool,
        PATIENCE,
        what="a second container",
    )
    assert len(second) == 1
    (gate / "open").touch()
    state = wait_until(lambda: state_of(run), lambda s: s.is_final(), PATIENCE, what="the end")
    assert state.is_completed()
    assert len(list(gate.glob("began-*"))) == 2


def started(gate):
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow_from_name("slow")
        deployment = client.create_deployment(
            flow_id,
            "container",
            entrypoint="slow.py:slow",
            path="/flow",
            work_pool_name=POOL,
            job_variables={"volumes": [f"{HERE}:/flow:ro", f"{gate}:/gate"]},
            pull_steps=[
                {"prefect.deployments.steps.set_working_directory": {"directory": "/flow"}}
            ],
        )
        run = client.create_flow_run_from_deployment(deployment, parameters={"gate": "/gate"})
    return run.id


def container_of(engine, run):
    [found] = wait_until(lambda: containers(engine, run), bool, PATIENCE, what="a container")
    return found


def containers(engine, run):
    """Those of a flow run that still run."""
    return engine.containers.list(filters={"label": f"io.prefect.flow-run-id={run}"})


def state_of(run):
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run).state
