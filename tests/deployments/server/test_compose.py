"""deployments/compose: what can be tried without its images."""

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import httpx
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_URL,
    temporary_settings,
)

from delivery.errors import ConfigurationError, Unreachable
from delivery.patience import Patience, wait_until
from deployments import ROOT
from deployments.server.compose_secrets import VALUES, make_secrets
from deployments.server.processes import prefect_server, prefect_worker, using
from deployments.server.security import guard
from deployments.server.server_access import require_answer
from deployments.server.work_pools import POOL
from sandbox.host.machine import ensure
from sandbox.parts.ports import LOOPBACK, free_port

COMPOSE = ROOT / "deployments" / "compose"
WRITTEN = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
PATIENCE = Patience(timeout=180, interval=0.3)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secrets")
    assert set(make_secrets(folder)) == {*VALUES, "certificate"}
    return folder


def nginx_configuration(folder, secrets, port, upstream):
    """The template as the image of nginx fills it in, in a whole configuration."""
    text = (COMPOSE / "nginx.conf.template").read_text()
    values = {
        "LISTEN": f"{LOOPBACK}:{port}",
        "UPSTREAM": upstream,
        "RESOLVER": LOOPBACK,  # not asked, since the upstream is an address
        "CERTIFICATE": str(secrets / "certificate"),
        "CERTIFICATE_KEY": str(secrets / "certificate_key"),
    }
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    assert "${" not in text
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    whole = folder / "nginx.conf"
    whole.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off;\n{places}{text}}}\n"
    )
    return whole


def test_secrets_are_made_once_and_the_folder_is_closed(secrets):
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    assert make_secrets(secrets) == []
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before
    assert secrets.stat().st_mode & 0o077 == 0
    assert ":" in before["api_auth"]


def test_only_nginx_is_published_and_on_this_machine_only():
    published = {
        name: each["ports"] for name, each in WRITTEN["services"].items() if "ports" in each
    }
    assert published == {"nginx": ["${PUBLISH:-127.0.0.1}:${PORT:-4200}:8443"]}
    inside_only = [n for n, s in WRITTEN["services"].items() if s["networks"] == ["inside"]]
    assert set(inside_only) == {"server", "database", "redis"}
    assert WRITTEN["networks"]["inside"] == {"internal": True}


def test_no_password_stands_in_the_file_and_every_secret_is_made_for_it():
    for service in WRITTEN["services"].values():
        for name, value in service.get("environment", {}).items():
            hidden = any(word in name for word in ("PASSWORD", "AUTH", "SECRET", "KEY"))
            assert not hidden or str(value).startswith("/run/secrets/"), name
    assert WRITTEN["secrets"].keys() == {*VALUES, "certificate", "certificate_key"}


def test_the_server_has_every_guard_of_make_server():
    given = WRITTEN["services"]["server"]["environment"]
    guards = guard("its password", 4200)
    guards.pop("PREFECT_SERVER_API_AUTH_STRING")  # by with-secrets, from a file
    assert guards.keys() <= given.keys()
    assert given["PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"] == "true"
    assert given["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"] == "https://localhost:${PORT:-4200}"


def test_docker_compose_reads_it(secrets, tmp_path):
    shutil.copytree(COMPOSE, tmp_path / "compose")
    shutil.copytree(secrets, tmp_path / "compose" / "secrets", dirs_exist_ok=True)
    said = subprocess.run(
        [ensure("docker-compose"), "-f", str(tmp_path / "compose" / "compose.yaml"), "config"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    services = yaml.safe_load(said.stdout)["services"]
    assert services.keys() == WRITTEN["services"].keys()
    assert services["stages"]["read_only"] is True
    for name in VALUES:
        assert (secrets / name).read_text() not in said.stdout


def test_a_program_gets_its_secrets_by_its_environment(secrets, tmp_path):
    script = (COMPOSE / "with-secrets").read_text().replace("/run/secrets", str(secrets))
    (tmp_path / "with-secrets").write_text(script)
    said = subprocess.run(
        ["sh", str(tmp_path / "with-secrets"), "env"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert f"PREFECT_API_AUTH_STRING={(secrets / 'api_auth').read_text()}" in said
    assert f"PREFECT_SERVER_ENCRYPTION_KEY={(secrets / 'encryption_key').read_text()}" in said
    password = (secrets / "database_password").read_text()
    assert f"PREFECT_SERVER_DATABASE_PASSWORD={password}" in said
    assert not [line for line in said if line.startswith(("auth=", "key=", "password="))]


def test_nginx_takes_the_configuration(secrets, tmp_path):
    tmp_path.chmod(0o755)
    written = nginx_configuration(tmp_path, secrets, free_port(), f"{LOOPBACK}:1")
    said = subprocess.run(
        [ensure("nginx"), "-t", "-c", str(written)], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr


@contextmanager
def nginx_before(upstream, folder, secrets):
    """nginx by our template, before an upstream; its address."""
    port = free_port()
    written = nginx_configuration(folder, secrets, port, upstream)
    nginx = subprocess.Popen([ensure("nginx"), "-c", str(written)])
    try:
        yield f"https://{LOOPBACK}:{port}"
    finally:
        nginx.terminate()
        nginx.wait(20)


def test_whose_certificate_it_is_must_be_said_and_what_answers_is_told(secrets, tmp_path):
    tmp_path.chmod(0o755)

    def refusal(address):
        with pytest.raises((Unreachable, ConfigurationError)) as raised:
            require_answer({"PREFECT_API_URL": f"{address}/api"})
        return f"{raised.value} {raised.value.hint}"

    with nginx_before(f"{LOOPBACK}:1", tmp_path, secrets) as address:
        said = partial(refusal, address)
        wait_until(said, lambda seen: "no Prefect server" not in seen, PATIENCE, what="nginx")
        assert "of nobody that this machine trusts Set PREFECT_API_SSL_CERT_FILE" in said()
        with temporary_settings({PREFECT_API_SSL_CERT_FILE: str(secrets / "certificate")}):
            assert "is no Prefect server (502)" in said()
        with temporary_settings({PREFECT_API_SSL_CERT_FILE: str(secrets / "none")}):
            assert "none cannot be read as certificates" in said()


@pytest.fixture(scope="module")
def behind_nginx(tmp_path_factory, secrets):
    """A server that wants authentication, and the address of nginx in front of it."""
    folder = tmp_path_factory.mktemp("behind")
    with prefect_server(folder) as server:
        upstream = server.address.split("//")[1]
        with nginx_before(upstream, folder, secrets) as address:
            yield server, address, server.password, folder


@pytest.mark.proof
def test_nobody_without_the_password_gets_past_nginx(behind_nginx, secrets):
    _, address, auth, _ = behind_nginx
    trusted = str(secrets / "certificate")

    def asked(**who):
        try:
            return httpx.get(f"{address}/api/admin/version", verify=trusted, **who).status_code
        except httpx.ConnectError:
            return 0  # it has not bound its port yet

    wait_until(asked, lambda code: code == 401, PATIENCE, what="nginx to answer")
    assert asked(auth=("kanvaro", "guessed")) == 401
    assert asked(auth=tuple(auth.split(":", 1))) == 200


@pytest.mark.proof
def test_a_worker_runs_a_flow_through_nginx_and_its_events_arrive_by_websocket(
    behind_nginx, secrets
):
    server, address, auth, folder = behind_nginx
    trusted = str(secrets / "certificate")
    through = replace(
        server,
        address=address,
        settings={
            **server.settings,
            "PREFECT_API_URL": f"{address}/api",
            "PREFECT_API_SSL_CERT_FILE": trusted,
            "SSL_CERT_FILE": trusted,
        },
    )
    here = {
        PREFECT_API_AUTH_STRING: auth,
        PREFECT_API_SSL_CERT_FILE: trusted,
        PREFECT_API_URL: f"{address}/api",
    }
    with using(through), temporary_settings(here), get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        deployment = client.create_deployment(
            client.create_flow_from_name("empty"),
            "proxied",
            entrypoint="benchmarks/empty_flow.py:empty",
            path=str(ROOT),
            work_pool_name=POOL,
        )
        run = client.create_flow_run_from_deployment(deployment).id
        with prefect_worker(folder, through):
            wait_until(
                lambda: client.read_flow_run(run).state,
                lambda state: state.is_final(),
                PATIENCE,
                what="the end",
            )
        assert client.read_flow_run(run).state.is_completed()
        # Task runs reach a server as events only, and those only by WebSocket.
        steps = wait_until(client.read_task_runs, bool, PATIENCE, what="its task run")
    assert [step.name.split("-")[0] for step in steps] == ["nothing"]
