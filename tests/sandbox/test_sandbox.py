"""The whole sandbox: one start, every address, and nothing left however it ends."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import boto3
import docker
import httpx
import pymongo
import pytest
import redis
from slack_sdk import WebClient

from blocks.github_app import GitHubApp
from delivery.errors import ConfigurationError
from delivery.workspace.process_identity import started
from deployments.sandbox_environment import sandbox_environment
from sandbox import start as start_module
from sandbox.__main__ import main
from sandbox.addresses import Addresses, Secrets
from sandbox.edge import ControlEndpoint
from sandbox.host.bridge import bridge_address
from sandbox.host.orphans import OWNER_LABEL, owner_of
from sandbox.lock import holder
from sandbox.parts.errors import AlreadyRunning, SandboxPartFailed
from sandbox.parts.ports import free_port, listening_socket
from sandbox.start import Sandbox
from tasks.credentials.smtp_account import SmtpAccount, is_refused
from tests.waiting import becomes_true


@pytest.fixture(scope="module")
def engine():
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sandbox")


@pytest.fixture(scope="module")
def lines():
    return []


@pytest.fixture(scope="module")
def sandbox(folder, lines):
    with Sandbox(folder, say=lines.append) as running:
        yield running


def _left_behind(engine, folder):
    """What of the folder's sandbox still exists: containers, networks, files, its lock."""
    ours = {"label": f"{OWNER_LABEL}={owner_of(folder)}"}
    return [
        *engine.containers.list(all=True, filters=ours),
        *engine.networks.list(filters=ours),
        *folder.glob("*.json"),
        *([holder(folder)] if holder(folder) else []),
    ]


def _family(process):
    """The process and its descendants: when each of them was started."""
    return {pid: started(pid) for pid in (process, *_descendants(process))}


def _is_over(family):
    return not any(began and started(pid) == began for pid, began in family.items())


def _descendants(process):
    try:
        with open(f"/proc/{process}/task/{process}/children") as children:
            direct = [int(child) for child in children.read().split()]
    except FileNotFoundError:
        return []
    return [*direct, *(below for child in direct for below in _descendants(child))]


def _command(folder, *options):
    return [sys.executable, "-m", "sandbox", "--folder", str(folder), *options]


def _started_program(folder):
    program = subprocess.Popen(
        _command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert becomes_true(lambda: (folder / "addresses.json").exists() or program.poll() is not None)
    assert program.poll() is None
    return program


# --- one that runs ---


def test_every_part_answers_at_its_address(sandbox):
    where = sandbox.addresses
    credentials = {"aws_access_key_id": "sandbox", "aws_secret_access_key": "sandbox"}
    here = {"region_name": where.region, **credentials}
    account = boto3.client("sts", endpoint_url=where.aws, **here).get_caller_identity()["Account"]
    assert account == where.account
    services = boto3.client("apprunner", endpoint_url=where.app_runner, **here).list_services()
    assert services["ServiceSummaryList"] == []
    assert httpx.get(where.public).status_code == 502  # nothing is deployed yet
    store = sandbox.aws.client("cloudfront-keyvaluestore")
    assert store.describe_key_value_store(KvsARN=where.route_store)["ItemCount"] == 0
    cloudfront = sandbox.aws.client("cloudfront")
    assert cloudfront.get_distribution(Id=where.distribution)["Distribution"]["Status"]
    assert ControlEndpoint(where.edge).state["requests"]["total"] == 1
    assert httpx.get(f"http://{where.registry}/v2/").status_code in (200, 401)
    assert WebClient(sandbox.secrets.slack_token, base_url=where.slack).auth_test()["ok"]
    app = GitHubApp(
        app_id=sandbox.secrets.github_app,
        installation=sandbox.secrets.github_installation,
        private_key=sandbox.secrets.github_private_key,
    )
    token = {"Authorization": f"Bearer {app.token(where.github)}"}
    assert httpx.get(f"{where.github}/rate_limit", headers=token).is_success
    assert httpx.get(where.slack_page).is_success
    assert httpx.get(f"{where.advisories}/-/ping").is_success
    assert httpx.get(f"{where.codecov}/nothing").status_code == 501


def test_a_message_to_its_channel_arrives(sandbox):
    client = WebClient(sandbox.secrets.slack_token, base_url=sandbox.addresses.slack)
    client.chat_postMessage(channel=sandbox.addresses.slack_channel, text="hello")
    assert httpx.post(sandbox.secrets.slack_webhook_url, json={"text": "hook"}).text == "ok"
    assert [thread[0].text for thread in sandbox.fakes.slack.threads()] == ["hello", "hook"]


def test_the_account_is_seeded_with_accounts_of_the_databases(sandbox):
    store = sandbox.aws.client("secretsmanager")

    def held(name):
        return json.loads(store.get_secret_value(SecretId=name)["SecretString"])

    application, admin = held("kanvaro/database"), held("kanvaro/admin/database")
    with redis.Redis.from_url(application["redis_url"]) as client:
        assert client.acl_whoami() == "kanvaro_a"
    with redis.Redis.from_url(*admin["redis_urls"]) as client:
        assert client.acl_whoami() == "admin"
    for uri, user in (
        (application["mongodb_uri"], "kanvaro_a"),
        (admin["mongodb_uri"], "admin"),
    ):
        with pymongo.MongoClient(uri) as client:
            status = client.admin.command("connectionStatus")
            assert [one["user"] for one in status["authInfo"]["authenticatedUsers"]] == [user]


def test_the_mail_account_is_an_access_key_and_is_reached_from_containers_too(sandbox, engine):
    store = sandbox.aws.client("secretsmanager")
    held = json.loads(store.get_secret_value(SecretId="kanvaro/email")["SecretString"])
    keys = sandbox.aws.client("iam").list_access_keys(UserName=held["iam_user"])
    assert [each["AccessKeyId"] for each in keys["AccessKeyMetadata"]] == [held["smtp_user"]]
    where, port = held["smtp_host"], held["smtp_port"]
    trust = Path(sandbox.addresses.smtp_authorities)
    assert not is_refused(SmtpAccount(where, port, held["smtp_user"], held["smtp_pass"], trust))
    assert is_refused(SmtpAccount(where, port, held["smtp_user"], "wrong", trust))
    name = f"{sandbox.databases.network}-redis"
    look = ["redis-cli", "-h", where, "-p", str(port), "ping"]
    # It is greeted with 220, which is no answer of Redis.
    assert b'got "2" as reply type' in engine.containers.get(name).exec_run(look).output


def test_nothing_is_published_outside_the_loopback_address(sandbox, engine):
    ours = {"label": f"{OWNER_LABEL}={sandbox.databases.network.removeprefix('kanvaro-')}"}
    containers = engine.containers.list(filters=ours)
    assert len(containers) == 2
    for container in containers:
        assert not any(container.attrs["NetworkSettings"]["Ports"].values())
    for address in (sandbox.aws.registry, sandbox.fakes.url, sandbox.app_runner.url):
        assert "127.0.0.1:" in address


def test_nothing_but_services_listens_on_the_bridge(sandbox, engine):
    where = sandbox.addresses
    assert where.bridge == bridge_address(engine) == sandbox.app_runner.settings.also_on
    parts = (
        *(where.aws, where.iam, where.app_runner, where.public, where.edge, where.slack),
        *(where.fakes, where.github, where.codecov, where.advisories),
    )
    for port in {urlsplit(address).port for address in parts} if where.bridge else ():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((where.bridge, port), 5)


def test_the_environment_says_where_containers_reach_the_services(sandbox, folder):
    environment = sandbox_environment(folder, repository="https://example.com/app.git")
    assert environment.loopback_for_checks == (sandbox.addresses.bridge or None)


def test_the_addresses_are_in_the_folder_and_hold_no_secret(sandbox, folder):
    assert Addresses.read(folder) == sandbox.addresses
    assert Secrets.read(folder) == sandbox.secrets
    told = (folder / "addresses.json").read_text()
    secrets = json.loads((folder / "secrets.json").read_text())
    # An App and its installation have names, which GitHub shows to everybody.
    del secrets["github_app"], secrets["github_installation"]
    assert len(secrets) == 4
    for secret in secrets.values():
        assert secret not in told
        assert secret not in repr(sandbox.secrets)
    assert stat.S_IMODE((folder / "secrets.json").stat().st_mode) == 0o600


def test_a_line_tells_of_each_part_with_address_and_seconds(sandbox, lines):
    told = [line for line in lines if line.endswith(" s")]
    for address in (
        sandbox.addresses.aws,
        sandbox.addresses.app_runner,
        sandbox.addresses.public,
        sandbox.addresses.fakes,
        sandbox.addresses.advisories,
        sandbox.addresses.network,
    ):
        assert sum(address in line for line in told) == 1


def test_a_second_one_in_the_same_folder_is_refused_and_harms_nothing(sandbox, folder, engine):
    with pytest.raises(AlreadyRunning, match=str(os.getpid())), Sandbox(folder):
        pass
    assert Addresses.read(folder) == sandbox.addresses
    assert sandbox.addresses.network in {network.name for network in engine.networks.list()}


def test_detaching_finds_the_one_that_runs(sandbox, folder):
    done = subprocess.run(_command(folder, "--detach"), capture_output=True, text=True, check=True)
    assert f"already runs in {folder} (process {os.getpid()})" in done.stderr
    assert sandbox.addresses.slack_page in done.stdout


# --- how it ends ---


def test_a_part_that_does_not_start_takes_the_others_along(engine, tmp_path, monkeypatch):
    class Broken:
        def __enter__(self):
            raise SandboxPartFailed("no advisories today")

        def __exit__(self, *unused):
            raise AssertionError("never entered")

    monkeypatch.setattr(start_module, "Advisories", Broken)
    before = _descendants(os.getpid())
    with pytest.raises(SandboxPartFailed, match="no advisories today"), Sandbox(tmp_path):
        pass
    assert _left_behind(engine, tmp_path) == []
    assert _descendants(os.getpid()) == before


def test_a_detached_one_runs_until_it_is_stopped(engine, tmp_path, capfd, request):
    request.addfinalizer(lambda: main(["--folder", str(tmp_path), "--stop"]))
    assert main(["--folder", str(tmp_path), "--detach"]) == 0
    shown = capfd.readouterr()
    where = Addresses.read(tmp_path)
    assert where.slack_page in shown.out
    assert where.aws in shown.err
    assert httpx.get(where.slack_page).is_success
    family = _family(holder(tmp_path))
    assert len(family) > 1
    assert main(["--folder", str(tmp_path), "--stop"]) == 0
    assert _left_behind(engine, tmp_path) == []
    assert becomes_true(lambda: _is_over(family))


def test_an_interruption_while_it_starts_leaves_nothing(engine, tmp_path):
    program = subprocess.Popen(
        _command(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    ours = {"label": f"{OWNER_LABEL}={owner_of(tmp_path)}"}
    assert becomes_true(lambda: engine.networks.list(filters=ours))
    program.send_signal(signal.SIGTERM)
    assert program.wait(30) == 0
    assert _left_behind(engine, tmp_path) == []


def test_what_a_killed_one_left_is_removed_by_stop(engine, tmp_path, request):
    request.addfinalizer(lambda: main(["--folder", str(tmp_path), "--stop"]))
    program = _started_program(tmp_path)
    family = _family(program.pid)
    program.kill()
    program.wait()
    assert _left_behind(engine, tmp_path)
    with pytest.raises(ConfigurationError, match="No sandbox runs"):
        Addresses.read(tmp_path)
    assert main(["--folder", str(tmp_path), "--stop"]) == 0
    assert _left_behind(engine, tmp_path) == []
    assert becomes_true(lambda: _is_over(family))


def test_one_that_lost_its_account_ends_and_says_so(tmp_path, monkeypatch, capsys):
    class Account:
        def check(self):
            raise SandboxPartFailed("ministack has ended.")

    @contextmanager
    def lost(*unused, **options):
        yield SimpleNamespace(aws=Account())

    monkeypatch.setattr(start_module, "Sandbox", lost)
    kept = {number: signal.getsignal(number) for number in (1, 2, 15)}
    try:
        assert main(["--folder", str(tmp_path), "--quiet"]) == 1
    finally:
        for number, disposition in kept.items():
            signal.signal(number, disposition)
    assert "ministack has ended." in capsys.readouterr().err


# --- the lock ---


def test_a_stale_process_file_is_not_believed(tmp_path):
    # Our own process lives, but it holds no lock: the number was left by somebody long gone.
    (tmp_path / "sandbox.pid").write_text(f"{os.getpid()}\n")
    assert holder(tmp_path) is None
    assert main(["--folder", str(tmp_path), "--stop"]) == 0


def test_stopping_where_nothing_runs_says_so(tmp_path, capsys):
    assert main(["--folder", str(tmp_path / "nowhere"), "--stop"]) == 0
    assert "No sandbox runs" in capsys.readouterr().err


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "inf", "nan"])
def test_a_speed_that_is_none_is_refused(tmp_path, speed):
    with pytest.raises(SystemExit) as refused:
        main(["--folder", str(tmp_path), "--speed", speed])
    assert refused.value.code == 2
    assert not (tmp_path / "sandbox.pid").exists()


def test_a_folder_that_cannot_be_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["--folder", str(tmp_path / "file")]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err


# --- ports ---


def test_no_port_is_handed_out_twice():
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50


def test_a_listening_socket_keeps_its_port():
    with listening_socket() as first:
        port = first.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            listening_socket(port)
