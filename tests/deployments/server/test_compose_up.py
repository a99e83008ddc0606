"""deployments/compose brought up whole, on stand-ins of the three images that are not ours."""

import os
import secrets
import shutil
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from docker.models.containers import Container
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_URL,
    temporary_settings,
)

from blocks.environment import Environment
from delivery.patience import Patience, wait_until
from deployments import ROOT
from deployments.server.compose_secrets import make_secrets
from deployments.server.work_pools import POOL
from sandbox.databases.service_images import ensure_service_images
from sandbox.host.machine import ensure
from sandbox.images.base_images import ensure_base_images
from sandbox.parts.ports import free_port
from tests.deployments.conftest import WORKER_IMAGE

# Images are built, and a server, two workers and their runs start beside whatever else goes on.
pytestmark = [pytest.mark.proof, pytest.mark.timeout(1800)]

COMPOSE = ROOT / "deployments" / "compose"
STAND_INS = Path(__file__).parent / "stand_ins"
SLOW = (Path(__file__).parent / "container" / "slow.py").read_text()
UP_S, DOWN_S = 900, 120
PATIENCE = Patience(timeout=400, interval=0.5)
PREFECT = ("server", "worker", "stages")
KILL_THE_PROGRAM = """
import os, signal
[program] = open("/proc/1/task/1/children").read().split()
os.kill(int(program), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def images(engine, worker_image):
    """The image of each service that is not ours, made of Debian's packages; ours is there, too."""
    made = {"redis": ensure_service_images(engine, ["redis"])["redis"].reference}
    for folder in STAND_INS.iterdir():
        ensure_base_images(engine, (folder / "Dockerfile").read_text())
        made[folder.name] = f"kanvaro-sandbox/{folder.name}-debian:test"
        engine.images.build(path=str(folder), tag=made[folder.name], rm=True)
    return made


@dataclass(frozen=True)
class Installation:
    """What `docker-compose up` made of a copy of deployments/compose."""

    engine: object
    folder: Path
    project: str
    port: int
    images: dict

    def compose(self, *arguments, timeout):
        files = ("compose.yaml", "stand-ins.yaml")
        return subprocess.run(
            [
                *(ensure("docker-compose"), "--project-name", self.project),
                *(part for file in files for part in ("--file", str(self.folder / file))),
                *arguments,
            ],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "PORT": str(self.port),
                "WORKER_IMAGE": WORKER_IMAGE,
                "DOCKER_GROUP": str(Path("/var/run/docker.sock").stat().st_gid),
            },
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def secret(self, name):
        return (self.folder / "secrets" / name).read_text()

    @property
    def address(self):
        return f"https://localhost:{self.port}"

    @property
    def password(self):
        return tuple(self.secret("api_auth").split(":", 1))

    @property
    def certificate(self):
        return str(self.folder / "secrets" / "certificate")

    def ask(self, method, path, **more):
        trusted = ssl.create_default_context(cafile=self.certificate)
        return httpx.request(
            method, f"{self.address}/api{path}", verify=trusted, timeout=60, **more
        )

    def code(self, **who):
        """What is answered to one who knows the password, or who comes otherwise."""
        who = {"auth": self.password, **who}
        return self.ask("GET", "/admin/version", **who).status_code

    def container(self, service) -> Container:
        labels = [f"com.docker.compose.{k}" for k in ("project", "service")]
        wanted = [f"{labels[0]}={self.project}", f"{labels[1]}={service}"]
        [found] = self.engine.containers.list(all=True, filters={"label": wanted})
        return found

    def runs(self, service, *command):
        """What a command in a service's container says."""
        code, said = self.container(service).exec_run(list(command))
        assert code == 0, said.decode()
        return said.decode().strip()

    def kills_and_waits_for(self, service):
        """End its program as a lack of memory would, and wait until the container is back."""
        self.runs(service, "python", "-c", KILL_THE_PROGRAM)
        wait_until(
            lambda: self.container(service).attrs,
            lambda seen: seen["RestartCount"] >= 1 and seen["State"]["Running"],
            PATIENCE,
            what="the container to come back",
        )


@pytest.fixture(scope="module")
def installation(engine, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "compose"
    shutil.copytree(COMPOSE, folder, ignore=shutil.ignore_patterns("secrets"))
    make_secrets(folder / "secrets")
    services = {"nginx": "nginx", "database": "postgres", "redis": "redis"}
    stand_ins = {service: {"image": images[name]} for service, name in services.items()}
    (folder / "stand-ins.yaml").write_text(yaml.safe_dump({"services": stand_ins}))
    project = f"kanvaro-proof-{secrets.token_hex(4)}"
    made = Installation(engine, folder, project, free_port(), images)
    try:
        told = made.compose("up", "--detach", timeout=UP_S)
        logs = made.compose("logs", "--tail", "40", timeout=60).stdout if told.returncode else ""
        assert told.returncode == 0, f"{told.stderr}\n{logs}"
        yield made
    finally:
        told = made.compose("down", "--volumes", "--timeout", "20", timeout=DOWN_S)
        assert told.returncode == 0, told.stderr


@pytest.fixture(scope="module")
def registered(installation):
    """The installation with our own deployments, registered as docs/scaling.md says."""
    variables = {
        "PREFECT_API_URL": f"{installation.address}/api",
        "PREFECT_API_SSL_CERT_FILE": installation.certificate,
        "PREFECT_API_AUTH_STRING": installation.secret("api_auth"),
        "FLOWS_FOLDER": "/opt/kanvaro",
    }
    told = subprocess.run(
        [sys.executable, "-m", "deployments.register"],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    settings = {
        PREFECT_API_URL: variables["PREFECT_API_URL"],
        PREFECT_API_SSL_CERT_FILE: variables["PREFECT_API_SSL_CERT_FILE"],
        PREFECT_API_AUTH_STRING: variables["PREFECT_API_AUTH_STRING"],
    }
    with temporary_settings(settings), get_client(sync_client=True) as client:
        yield client


def test_over_tls_nobody_comes_in_without_the_password(installation):
    assert installation.code(auth=None) == 401
    assert installation.code(auth=("kanvaro", "guessed")) == 401
    assert installation.code() == 200
    plain = httpx.get(f"http://localhost:{installation.port}/api/health", timeout=60)
    assert plain.status_code == 400, "there is no way in without TLS"


def test_what_changes_something_needs_a_token_against_forgery(installation):
    asked = installation.ask("POST", "/flows/", json={"name": "forged"}, auth=installation.password)
    assert asked.status_code == 403
    assert "CSRF" in asked.text


def test_no_other_page_on_the_web_may_use_it(installation):
    asked = {"Origin": "https://elsewhere.invalid", "Access-Control-Request-Method": "POST"}
    assert (
        "access-control-allow-origin" not in installation.ask("OPTIONS", "", headers=asked).headers
    )


def test_only_nginx_is_published_and_only_on_this_machine(installation):
    published = {
        service: [
            each["HostIp"]
            for places in installation.container(service).ports.values()
            for each in places or []
        ]
        for service in yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    }
    assert published.pop("nginx") == ["127.0.0.1"]
    assert not any(published.values()), published


@pytest.mark.parametrize("service", PREFECT)
def test_a_container_of_prefect_can_do_little(installation, service):
    status = installation.runs(service, "cat", "/proc/self/status")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert installation.runs(service, "id", "-u") == "10001"
    script = "touch /opt/kanvaro/x 2>/dev/null && echo written || echo read-only"
    assert installation.runs(service, "sh", "-c", script) == "read-only"


@pytest.mark.parametrize("service", ["worker", "stages"])
def test_a_worker_may_run_programs_where_checks_do(installation, service):
    data_dir = Environment.model_fields["workshop"].default
    script = (
        "set -e; for folder in %s /tmp; do mkdir -p $folder; file=$folder/program; "
        "printf '#!/bin/sh\\necho ran' > $file; chmod +x $file; $file; rm $file; done; df %s"
    )
    said = installation.runs(service, "sh", "-c", script % (data_dir, data_dir))
    assert said.startswith("ran\nran\n")
    assert said.endswith(" /workshop"), "logs and caches outlive the container"


def test_the_worker_reaches_the_engine_and_the_server_reaches_nothing_outside(installation):
    ping = "import docker; print(docker.from_env().ping())"
    assert installation.runs("worker", "python", "-c", ping) == "True"
    networks = installation.container("server").attrs["NetworkSettings"]["Networks"]
    [inside] = [installation.engine.networks.get(name) for name in networks]
    assert inside.attrs["Internal"]


def test_what_the_server_keeps_is_in_postgresql_and_no_secret_is_in_a_log(registered, installation):
    query = "select count(*) from deployment"
    psql = ("psql", "--username", "prefect", "--no-align", "--tuples-only", "--command", query)
    assert int(installation.runs("database", *psql)) == len(registered.read_deployments()) > 5
    logs = installation.compose("logs", timeout=60).stdout
    for name in ("database_password", "api_auth", "encryption_key"):
        assert installation.secret(name) not in logs


@pytest.mark.parametrize(("service", "queue"), [("worker", "default"), ("stages", "stages")])
def test_a_worker_completes_a_run_and_one_that_was_killed_comes_back_for_the_next(
    installation, registered, service, queue
):
    run(installation, registered, service, queue)

    installation.kills_and_waits_for(service)

    run(installation, registered, service, queue)


def test_a_server_that_was_killed_comes_back_and_nginx_finds_it(installation):
    installation.kills_and_waits_for("server")

    wait_until(installation.code, lambda seen: seen == 200, PATIENCE, what="the server to answer")


def test_nginx_finds_a_server_that_has_another_address(installation):
    """As after an upgrade, which makes its container anew."""
    server = installation.container("server")
    [name] = server.attrs["NetworkSettings"]["Networks"]
    before, network = address_on(server, name), installation.engine.networks.get(name)
    network.disconnect(server)
    other = installation.engine.containers.run(
        installation.images["redis"], detach=True, network=name
    )
    try:
        network.connect(server, aliases=["server"])
        assert address_on(server, name) != before == address_on(other, name)

        wait_until(installation.code, lambda seen: seen == 200, PATIENCE, what="nginx to find it")
    finally:
        other.remove(force=True, v=True)


def address_on(container, network):
    container.reload()
    return container.attrs["NetworkSettings"]["Networks"][network]["IPAddress"]


def run(installation, client, service, queue):
    """A run that says who executes it, and ends when its gate is opened."""
    gate = f"/workshop/{secrets.token_hex(4)}"
    script = 'mkdir -p "$0" && printf %s "$1" > "$0/slow.py"'
    installation.runs(service, "sh", "-c", script, gate, SLOW)
    deployment = client.create_deployment(
        client.create_flow_from_name("slow"),
        f"composed-{gate[-8:]}",
        entrypoint="slow.py:slow",
        work_pool_name=POOL,
        work_queue_name=queue,
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": gate}}],
    )
    started = client.create_flow_run_from_deployment(deployment, parameters={"gate": gate})
    wait_until(
        lambda: installation.runs(service, "sh", "-c", f"cat {gate}/began-* || true"),
        lambda note: note.startswith("10001 "),
        PATIENCE,
        what="the flow to begin",
    )
    installation.runs(service, "touch", f"{gate}/open")
    state = wait_until(
        lambda: client.read_flow_run(started.id).state,
        lambda seen: seen.is_final(),
        PATIENCE,
        what="its end",
    )
    assert state.is_completed(), state
