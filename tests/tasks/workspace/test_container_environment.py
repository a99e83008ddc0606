"""What a container of the application gets from the worker: how to reach registries, no secret."""

import pytest

from tasks.workspace.container_environment import HOME, container_environment
from tests.tasks.workspace.test_program_environment import CANARY, SECRETS


@pytest.fixture
def worker_home(tmp_path):
    home = tmp_path / "worker"
    home.mkdir()
    (home / ".npmrc").write_text(
        f"registry=https://registry.example/\ncafile={tmp_path}/ca.pem\nnodedir=/usr\n"
        f"//registry.example/:_authToken={CANARY}\n_auth={CANARY}\n"
    )
    (tmp_path / "ca.pem").write_text("authorities")
    return home


def test_no_secret_of_the_worker_is_handed_over(worker_home):
    given = container_environment({**SECRETS, "PATH": "/bin"}, worker_home)

    assert CANARY not in str(given.variables)
    assert not [path for path, content in given.files.items() if CANARY.encode() in content]


def test_nothing_names_a_folder_or_a_program_of_the_worker(worker_home, tmp_path):
    worker = {
        "PATH": f"{tmp_path}/bin",
        "NODE_OPTIONS": f"--require {tmp_path}/x.js",
        "SSL_CERT_DIR": str(tmp_path),
        "DOCKER_HOST": f"unix://{tmp_path}/docker.sock",
        "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path),
        "npm_config_nodedir": str(tmp_path),
        "NODE_EXTRA_CA_CERTS": f"{tmp_path}/ca.pem",
    }

    given = container_environment(worker, worker_home)

    assert str(tmp_path) not in str(given.variables)
    assert str(tmp_path).encode() not in given.files[f"{HOME}/.npmrc"]
    assert b"nodedir" not in given.files[f"{HOME}/.npmrc"]


def test_certificates_that_the_worker_trusts_come_along_once(worker_home, tmp_path):
    trusted = f"{tmp_path}/ca.pem"
    worker = {"NODE_EXTRA_CA_CERTS": trusted, "SSL_CERT_FILE": trusted, "CURL_CA_BUNDLE": "/none"}

    given = container_environment(worker, worker_home)

    inside = given.variables["NODE_EXTRA_CA_CERTS"]
    assert given.variables["SSL_CERT_FILE"] == inside
    assert "CURL_CA_BUNDLE" not in given.variables
    assert given.files.keys() == {inside, f"{HOME}/.npmrc"}
    assert given.files[inside] == b"authorities"
    assert given.files[f"{HOME}/.npmrc"].decode().splitlines() == [
        "registry=https://registry.example/",
        f"cafile={inside}",
    ]


def test_proxies_and_registries_come_along(worker_home):
    worker = {
        "HTTPS_PROXY": "http://proxy.example:3128",
        "npm_config_registry": "https://r.example/",
    }

    assert worker.items() <= container_environment(worker, worker_home).variables.items()


def test_what_an_application_installs_is_asked_to_tell_nobody(worker_home):
    given = container_environment({"DO_NOT_TRACK": "0"}, worker_home)

    assert given.variables["DO_NOT_TRACK"] == "1"
    assert given.variables["NEXT_TELEMETRY_DISABLED"] == "1"
