"""What a tool on the worker can see of it: nothing that is secret."""

import json
import os
import subprocess

import pytest

from delivery.workspace.install_hints import explain_install_failure
from delivery.workspace.packages import choose_manager
from tasks.workspace.program_environment import program_environment, withheld_proxies
from tasks.workspace.programs import run_program

CANARY = "CANARY-5d1e"
SECRETS = {
    "AWS_ACCESS_KEY_ID": CANARY,
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "AWS_SESSION_TOKEN": CANARY,
    "AWS_PROFILE": CANARY,
    "PREFECT_API_KEY": CANARY,
    "PREFECT_API_URL": CANARY,
    "GITHUB_TOKEN": CANARY,
    "NPM_TOKEN": CANARY,
    "SLACK_WEBHOOK_URL": CANARY,
    "MONGODB_URI": CANARY,
    "JWT_SECRET": CANARY,
    "DB_PASSWORD": CANARY,
    "SSH_AUTH_SOCK": CANARY,
    "npm_config__authToken": CANARY,
    "npm_config_//registry.example/:_authToken": CANARY,
    "NPM_CONFIG_USERCONFIG": CANARY,
    "npm_config_registry": f"https://user:{CANARY}@registry.example/",
    "KANVARO_CHECK": CANARY,
    "HTTPS_PROXY": f"http://me:{CANARY}@proxy.example:3128",
    "http_proxy": f"me:{CANARY}@proxy.example:3128",
    "npm_config_https_proxy": f"me:{CANARY}@proxy.example:3128",
}


@pytest.fixture
def worker_home(tmp_path):
    home = tmp_path / "worker"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws/credentials").write_text(CANARY)
    (home / ".npmrc").write_text(
        "registry=https://registry.example/\n"
        "@kanvaro:registry = https://npm.example/\n"
        "cafile=/etc/ssl/ca.pem\n"
        f"//registry.example/:_authToken={CANARY}\n"
        f"_auth={CANARY}\n"
        f"//npm.example/:_password={CANARY}\n"
        f"https-proxy=http://me:{CANARY}@proxy.example:3128\n"
        f"key={CANARY}\n"
    )
    return home


def test_no_secret_of_the_worker_passes(tmp_path, worker_home):
    environment = program_environment(
        tmp_path / "home", tmp_path / "cache", {**SECRETS, "PATH": "/bin"}, worker_home
    )

    assert CANARY not in str(environment)
    for file in (tmp_path / "home").rglob("*"):
        assert not file.is_file() or CANARY not in file.read_text()


def test_what_is_needed_to_reach_a_registry_passes(tmp_path, worker_home):
    worker = {
        "PATH": "/bin",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "NODE_EXTRA_CA_CERTS": "/etc/ca.pem",
        "NPM_CONFIG_REGISTRY": "https://registry.example/",
    }

    environment = program_environment(tmp_path / "home", tmp_path / "cache", worker, worker_home)

    assert worker.items() <= environment.items()
    assert (tmp_path / "home/.npmrc").read_text().splitlines() == [
        "registry=https://registry.example/",
        "@kanvaro:registry=https://npm.example/",
        "cafile=/etc/ssl/ca.pem",
    ]


def test_a_proxy_that_is_kept_from_checks_is_named_without_its_password():
    worker = {
        **SECRETS,
        "NO_PROXY": "localhost,.example",
        "https_proxy": "http://proxy.example:3128",
    }

    assert withheld_proxies(worker) == ("HTTPS_PROXY", "http_proxy", "npm_config_https_proxy")


def test_home_and_temporary_files_are_private(tmp_path, worker_home):
    environment = program_environment(tmp_path / "home", tmp_path / "cache", {}, worker_home)

    for name in ("HOME", "TMPDIR"):
        assert environment[name].startswith(str(tmp_path / "home"))
        assert os.stat(environment[name]).st_mode & 0o777 == 0o700
    assert environment["CI"] == "true"
    assert environment["TZ"] == "UTC"


def test_a_check_that_reads_its_home_does_not_find_the_workers(tmp_path, worker_home):
    environment = program_environment(
        tmp_path / "home", tmp_path / "cache", {"PATH": os.environ["PATH"]}, worker_home
    )

    seen = subprocess.run(
        ["sh", "-c", "cat ~/.aws/credentials ~/.npmrc"],
        env=environment,
        capture_output=True,
        text=True,
    )

    assert CANARY not in seen.stdout
    assert "No such file" in seen.stderr


def test_npm_itself_uses_our_cache_and_the_workers_registry(tmp_path, worker_home):
    environment = program_environment(
        tmp_path / "home", tmp_path / "cache", {"PATH": os.environ["PATH"]}, worker_home
    )

    seen = subprocess.run(
        ["npm", "config", "get", "registry", "cache", "@kanvaro:registry"],
        env=environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    ).stdout

    assert "registry=https://registry.example/" in seen
    assert f"cache={tmp_path}/cache/npm" in seen
    assert "@kanvaro:registry=https://npm.example/" in seen


@pytest.fixture
def run(tmp_path):
    """Runs a program as a check would, in the folder of the test or below."""
    environment = program_environment(tmp_path / "home", tmp_path / "cache")

    def run_it(*argv, folder="."):
        return run_program(
            argv,
            folder=tmp_path / folder,
            environment=environment,
            timeout_s=60,
            log=lambda line: None,
            full_log=tmp_path / "log",
        )

    return run_it


def test_npm_installs_and_runs_scripts_in_these_surroundings(run, tmp_path):
    """The whole way: the manager's own argument lists, the launcher, npm, and its script."""
    app = tmp_path / "app"
    app.mkdir()
    package = {"name": "tiny", "version": "1.0.0", "scripts": {"say": "node -p process.argv[1]"}}
    lock = {"name": "tiny", "lockfileVersion": 3, "requires": True, "packages": {"": package}}
    files = {"package.json": json.dumps(package), "package-lock.json": json.dumps(lock)}
    for name, text in files.items():
        (app / name).write_text(text)
    manager = choose_manager(files)

    assert run(*manager.install, folder="app").passed
    said = run(*manager.run("say", "a b; $(id)"), folder="app")
    assert said.passed
    assert said.last_lines[-1] == "a b; $(id)"
    assert not run(*manager.run("absent"), folder="app").passed


def test_a_lockfile_that_npm_finds_out_of_sync_gets_the_right_hint(run, tmp_path):
    package = {"name": "tiny", "version": "1.0.0", "dependencies": {"other": "file:other"}}
    lock = {"name": "tiny", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": {}}}
    (tmp_path / "other").mkdir()
    (tmp_path / "other/package.json").write_text('{"name": "other", "version": "1.0.0"}')
    (tmp_path / "package.json").write_text(json.dumps(package))
    (tmp_path / "package-lock.json").write_text(json.dumps(lock))

    outcome = run("npm", "ci", "--offline")

    assert not outcome.passed
    assert "does not match package.json" in explain_install_failure(outcome.last_lines)


def test_an_install_script_that_cannot_download_gets_the_line_that_helps(run, tmp_path):
    script = "node -e \"require('http').get('http://127.0.0.1:9/prebuilt.tar.gz')\""
    library = {"name": "native", "version": "1.0.0", "scripts": {"install": script}}
    (tmp_path / "native").mkdir()
    (tmp_path / "native/package.json").write_text(json.dumps(library))
    own = {"name": "tiny", "version": "1.0.0", "dependencies": {"native": "file:native"}}
    (tmp_path / "package.json").write_text(json.dumps(own))

    assert run("npm", "install", "--package-lock-only", "--offline").passed
    outcome = run("npm", "ci", "--offline", "--install-links")

    assert not outcome.passed
    hint = explain_install_failure(outcome.last_lines)
    assert "The install script of `native` failed: it could not download" in hint
    assert 'install = "npm ci --ignore-scripts"' in hint
    assert run("npm", "ci", "--offline", "--install-links", "--ignore-scripts").passed
