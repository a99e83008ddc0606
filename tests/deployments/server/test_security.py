"""Our server accepts only clients with its password, and its database reveals nothing."""

import asyncio
import sqlite3
import ssl
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from cryptography.fernet import Fernet, InvalidToken
from prefect import flow
from prefect.blocks.system import Secret
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    temporary_settings,
)

from blocks.environment import Environment
from blocks.serving import AppRunnerService
from delivery.errors import AccessDenied, ConfigurationError, Unreachable
from delivery.github.events import Start
from delivery.messages import Message, RunStatus
from deployments.server.processes import prefect_server, using
from deployments.server.security import BLOCK_KEY, PASSWORD, block_key, server_settings
from deployments.server.server_access import client_variables, require_answer
from deployments.webhooks.github_webhook import start_run
from deployments.webhooks.sns_webhook import channel_of
from sandbox.parts.certificates import write_certificate
from sandbox.parts.ports import free_port
from tests.answering import Answering
from tests.databases import migrated_database

CANARY = "canary-block-7d1f0c2b9a"
OURS = (
    *("PREFECT_SERVER_API_HOST", "PREFECT_SERVER_API_PORT", "PREFECT_SERVER_API_AUTH_STRING"),
    *("PREFECT_SERVER_ENCRYPTION_KEY", "PREFECT_API_AUTH_STRING", "KANVARO_SERVER_PASSWORD"),
)


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """A folder for the password and the key, and an environment that sets nothing of them."""
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KANVARO_KEYS", str(tmp_path / "keys"))
    return tmp_path / "keys"


def sqlite_url(path):
    return f"sqlite+aiosqlite:///{path}"


def database_with(key, path):
    """A database in which Prefect keeps its key, as it does by its own settings."""
    with sqlite3.connect(path) as opened:
        opened.execute("CREATE TABLE configuration (key TEXT, value JSON)")
        value = f'{{"fernet_key": "{key}"}}'
        opened.execute("INSERT INTO configuration VALUES ('ENCRYPTION_KEY', ?)", (value,))
    return sqlite_url(path)


def rows_of(path, statement):
    with sqlite3.connect(path) as opened:
        return opened.execute(statement).fetchall()


def test_the_settings_guard_a_server_and_what_was_set_by_hand_stays(keys, tmp_path, monkeypatch):
    made = server_settings(sqlite_url(tmp_path / "none.db"))

    assert made["PREFECT_SERVER_API_HOST"] == "127.0.0.1"
    assert made["PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"] == "true"
    assert "*" not in made["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"]
    assert len(made["PREFECT_SERVER_API_AUTH_STRING"]) > 30
    assert {each.name for each in keys.iterdir()} == {PASSWORD, BLOCK_KEY}
    assert all(each.stat().st_mode & 0o077 == 0 for each in (keys, *keys.iterdir()))
    assert server_settings(sqlite_url(tmp_path / "none.db")) == made
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "ada:sample")
    assert server_settings()["PREFECT_SERVER_API_AUTH_STRING"] == "ada:sample"


def test_a_server_that_others_reach_is_not_started_without_a_password(keys, monkeypatch):
    monkeypatch.setenv("KANVARO_SERVER_PASSWORD", "no")
    assert "PREFECT_SERVER_API_AUTH_STRING" not in server_settings()
    monkeypatch.setenv("PREFECT_SERVER_API_HOST", "0.0.0.0")

    with pytest.raises(ConfigurationError, match=r"0\.0\.0\.0 without a password"):
        server_settings()


def test_the_key_that_a_database_has_is_moved_out_of_it(keys, tmp_path):
    key = Fernet.generate_key().decode()
    url = database_with(key, tmp_path / "prefect.db")

    assert block_key(url) == key

    assert (keys / BLOCK_KEY).read_text().strip() == key
    assert not rows_of(tmp_path / "prefect.db", "SELECT * FROM configuration")
    assert block_key(url) == key


def test_the_key_of_one_database_is_never_taken_for_that_of_another(keys, tmp_path):
    block_key(sqlite_url(tmp_path / "none.db"))
    url = database_with(Fernet.generate_key().decode(), tmp_path / "other.db")

    with pytest.raises(ConfigurationError, match="a key of its own"):
        block_key(url)

    assert rows_of(tmp_path / "other.db", "SELECT * FROM configuration")


def test_what_is_no_key_is_said_before_a_server_cannot_read_its_blocks(keys, tmp_path):
    keys.mkdir()
    (keys / BLOCK_KEY).write_text("mistyped")

    with pytest.raises(ConfigurationError, match="no valid key for blocks"):
        block_key(sqlite_url(tmp_path / "none.db"))


def test_a_server_that_is_down_is_said_in_a_sentence():
    with pytest.raises(Unreachable, match="no Prefect server answers at") as raised:
        require_answer({"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api"})
    assert "make server" in raised.value.hint


@pytest.mark.parametrize(
    ("status", "given", "said"),
    [
        (401, "", "asks for a password"),
        (401, "a:b", "refuses our password"),
        (404, "", "is no Pre"),
    ],
)
def test_a_server_that_does_not_let_us_in_is_said_in_a_sentence(status, given, said):
    with (
        Answering(status) as answering,
        pytest.raises((AccessDenied, ConfigurationError), match=said),
    ):
        require_answer(
            {"PREFECT_API_URL": f"{answering.url}/api", "PREFECT_API_AUTH_STRING": given}
        )


@pytest.fixture
def of_nobody(tmp_path):
    """A server whose certificate is its own authority, and the file of that."""
    certificate, key = write_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with Answering(body="3.8.8", headers={"Content-Type": "application/json"}, tls=tls) as server:
        yield {"PREFECT_API_URL": f"{server.url}/api"}, certificate


@pytest.mark.parametrize(
    ("trusted", "answers"),
    [("nobody", False), ("whom certifi lists", True), ("who is named", True), ("anybody", True)],
)
def test_a_server_is_trusted_where_prefects_own_client_trusts_it(
    of_nobody, monkeypatch, trusted, answers
):
    server, certificate = of_nobody
    if trusted == "whom certifi lists":
        monkeypatch.setattr("certifi.where", lambda: str(certificate))
    settings = {
        PREFECT_API_SSL_CERT_FILE: str(certificate) if trusted == "who is named" else None,
        PREFECT_API_TLS_INSECURE_SKIP_VERIFY: trusted == "anybody",
    }

    with temporary_settings(settings):
        refused = SyncPrefectClient(server["PREFECT_API_URL"]).api_healthcheck()
        if answers:
            require_answer(server)
        else:
            with pytest.raises(Unreachable, match="nobody that this machine trusts"):
                require_answer(server)

    assert (refused is None) == answers


def test_the_password_of_this_machine_is_sent_to_this_machine_only(keys, monkeypatch):
    keys.mkdir()
    (keys / PASSWORD).write_text("kanvaro:secret\n")
    monkeypatch.setattr(
        "deployments.server.server_access.PREFECT_API_URL", At("http://127.0.0.1:4200/api")
    )
    assert client_variables()["PREFECT_API_AUTH_STRING"] == "kanvaro:secret"
    monkeypatch.setattr(
        "deployments.server.server_access.PREFECT_API_URL", At("https://prefect.invalid/api")
    )
    assert "PREFECT_API_AUTH_STRING" not in client_variables()


class At:
    def __init__(self, url):
        self.value = lambda: url


@pytest.fixture
def guarded(keys, tmp_path, monkeypatch):
    """Run one of our servers; this process uses it, but for its password. Yield its settings."""
    monkeypatch.setenv("KANVARO_KEYS", str(tmp_path))
    settings = server_settings(sqlite_url(tmp_path / "prefect" / "prefect.db"))
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    migrated_database(tmp_path / "prefect")
    with prefect_server(tmp_path) as server:
        known = {k: v for k, v in server.settings.items() if k != "PREFECT_API_AUTH_STRING"}
        with using(replace(server, settings=known)):
            yield SimpleNamespace(server=server, settings=settings)


@flow
def checks(revision, ref):
    """Stands for `ci`."""


def test_the_door_finds_the_password_of_this_machines_server(guarded):
    password = guarded.settings["PREFECT_SERVER_API_AUTH_STRING"]
    with (
        temporary_settings({PREFECT_API_AUTH_STRING: password}),
        get_client(sync_client=True) as client,
    ):
        client.create_deployment(client.create_flow(checks), name="kanvaro")
        Environment(
            name="production",
            repository="none",
            strategy="in-place",
            service=AppRunnerService(access_role_arn="arn:aws:iam::1:role/ecr"),
        ).save("production")

    why_not = channel_of("production")(Message(RunStatus.FAILED, "it rings"))
    start = Start("checks/kanvaro", {"revision": "a" * 40, "ref": "refs/heads/main"})
    asyncio.run(start_run(start, "github-1"))

    assert why_not == "the environment has no Slack credentials"  # and so it was read
    with (
        temporary_settings({PREFECT_API_AUTH_STRING: password}),
        get_client(sync_client=True) as client,
    ):
        assert [run.idempotency_key for run in client.read_flow_runs()] == ["github-1"]


def test_a_server_refuses_strangers_and_its_database_cannot_be_read(guarded, tmp_path):
    settings = guarded.settings
    password = settings["PREFECT_SERVER_API_AUTH_STRING"]
    login = tuple(password.split(":"))
    with (
        # A server is slow in its first seconds, in which it registers its own blocks.
        httpx.Client(base_url=f"{guarded.server.address}/api", timeout=60) as stranger,
    ):
        assert stranger.get("/admin/version").status_code == 401
        assert stranger.get("/admin/version", auth=("kanvaro", "guess")).status_code == 401
        assert stranger.get("/admin/version", auth=login).status_code == 200
        forged = stranger.post("/flows/filter", json={}, auth=login)
        assert forged.status_code == 403
        assert "CSRF" in forged.text
        asked = {"Origin": "https://elsewhere.invalid", "Access-Control-Request-Method": "POST"}
        assert "access-control-allow-origin" not in stranger.options("", headers=asked).headers
        with (
            temporary_settings({PREFECT_API_AUTH_STRING: password}),
            get_client(sync_client=True) as client,
        ):
            assert (
                client.read_flows() == []
            )  # a POST, with the token that Prefect's client asks for
            Secret(value=CANARY).save("canary")
            assert Secret.load("canary").get() == CANARY

    [[stored]] = rows_of(tmp_path / "prefect" / "prefect.db", "SELECT data FROM block_document")
    assert CANARY in Fernet(settings["PREFECT_SERVER_ENCRYPTION_KEY"]).decrypt(stored).decode()
    with pytest.raises(InvalidToken):
        Fernet(Fernet.generate_key()).decrypt(stored)
    assert not rows_of(
        tmp_path / "prefect" / "prefect.db",
        "SELECT * FROM configuration WHERE key = 'ENCRYPTION_KEY'",
    )
    secrets = (CANARY, login[1], settings["PREFECT_SERVER_ENCRYPTION_KEY"])
    for file in Path(tmp_path).rglob("*"):
        if file.is_file() and file.name not in (PASSWORD, BLOCK_KEY):
            found = [each for each in secrets if each.encode() in file.read_bytes()]
            assert not found, file
