"""Runs as their users start them: through a server, a deployment and a worker."""

import base64
import json
from pathlib import Path
from types import SimpleNamespace

import docker
import pytest
from prefect import get_client
from prefect.deployments import run_deployment
from pydantic import SecretStr

from delivery.patience import Patience, wait_until
from deployments.register import register
from deployments.server.processes import prefect_server, prefect_worker, using
from tasks.workspace.orphans import MARKER
from tests.databases import migrated_database
from tests.flows.conftest import Application, Runs, environment_of
from tests.flows.deploy.moves import state_of

CANARIES = {
    "aws": "canary-aws-5f1c0e9d7b3a",
    "snyk": "canary-snyk-8a7d6c5b4f3e",
}
SLEEP = "node -e 'setTimeout(() => {}, 120000)'"
PATIENCE = Patience(timeout=130, interval=0.5)


@pytest.fixture(scope="module")
def operated(tmp_path_factory, sandbox):
    """A server with our deployment and a worker: its address, folder, application and runs."""
    folder = tmp_path_factory.mktemp("operated")
    migrated_database(folder / "prefect")
    with prefect_server(folder) as server, using(server):
        app = Application(folder / "app")
        runs = Runs(environment_of(app, sandbox), sandbox)
        runs.environment.aws.aws_secret_access_key = SecretStr(CANARIES["aws"])
        runs.environment.workshop = folder / "workshop"
        register({runs.environment.name: runs.environment}, say=lambda _: None)
        with prefect_worker(folder, server):
            yield SimpleNamespace(folder=folder, app=app, runs=runs)


def start(operated, revision):
    run = run_deployment(
        "ci/kanvaro",
        parameters={"revision": revision, "environment": operated.runs.environment.name},
        timeout=0,
        as_subflow=False,
    )
    operated.runs.id = run.id
    return run.id


def await_end(run_id):
    return wait_until(lambda: state_of(run_id), lambda s: s.is_final(), PATIENCE, what="the end")


def our_programs(operated):
    """Processes of checks of this environment, by the folder they work in."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            marked = f"{MARKER}=".encode() in (process / "environ").read_bytes()
            if marked and str(operated.folder) in str((process / "cwd").readlink()):
                found.append(process.name)
        except OSError:
            continue
    return found


def service_containers():
    client = docker.from_env()
    try:
        return client.containers.list(filters={"label": "kanvaro.check=integration"})
    finally:
        client.close()


def started_and_busy(operated):
    """A run that is in the middle of a check with a database of its own."""
    revision = operated.app.commit(test_integration=SLEEP)
    run_id = start(operated, revision)
    wait_until(
        lambda: (our_programs(operated), service_containers()),
        lambda seen: all(seen),
        PATIENCE,
        what="a check with its services",
    )
    return run_id


def secrets_of(operated, sandbox):
    """Every secret that this run could have come across."""
    environment = operated.runs.environment
    store = environment.retrying("secretsmanager")
    values = [
        _without_version(
            store.get_secret_value(SecretId=name, VersionStage="AWSCURRENT")["SecretString"]
        )
        for name in ("kanvaro/jwt", "kanvaro/email", "kanvaro/database", "kanvaro/admin/database")
    ]
    [login] = environment.retrying("ecr").get_authorization_token()["authorizationData"]
    generated = [part for value in values for part in value.split('"') if len(part) > 16]
    return {
        **CANARIES,
        "slack": sandbox.secrets.slack_token,
        "codecov": sandbox.secrets.codecov_token,
        "ecr": base64.b64decode(login["authorizationToken"]).decode().split(":", 1)[1],
        **{f"application {number}": value for number, value in enumerate(generated)},
    }


def _without_version(value):
    """The id of a version is no secret, and may be told."""
    return json.dumps({key: one for key, one in json.loads(value).items() if key != "version"})


def files_below(*folders):
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def test_no_secret_of_a_run_is_found_anywhere_afterwards(operated, sandbox):
    operated.runs.environment.snyk_token = SecretStr(CANARIES["snyk"])
    operated.runs.environment.policy.scanners_that_may_be_absent = ["snyk"]
    operated.runs.change()
    good = start(operated, operated.app.commit())
    assert await_end(good).is_completed()
    bad = start(operated, operated.app.commit(lint="node -e 'process.exit(3)'"))
    assert await_end(bad).is_failed()

    places = [
        operated.folder / "prefect",
        *(operated.folder / "workshop").glob("logs"),
        *(operated.folder / "workshop").glob("reports"),
    ]
    told = str(sandbox.fakes.slack.threads("deployments")).encode()
    searched = files_below(*places) + list(operated.folder.glob("*.log"))
    assert any(path.name.startswith("prefect.db") for path in searched)
    assert any(path.name == "lint.log" for path in searched)
    for name, secret in secrets_of(operated, sandbox).items():
        assert len(secret) > 8 or name == "ecr", name
        if len(secret) <= 8:
            continue  # the emulator's password is a plain word
        found = [str(path) for path in searched if secret.encode() in path.read_bytes()]
        assert not found, f"the {name} secret is in {found}"
        assert secret.encode() not in told, f"the {name} secret is in Slack"


def test_a_cancelled_run_ends_its_programs_and_its_containers_and_says_so(operated):
    run_id = started_and_busy(operated)

    with get_client(sync_client=True) as client:
        from prefect.states import Cancelling

        client.set_flow_run_state(run_id, Cancelling())

    assert await_end(run_id).is_cancelled()
    wait_until(
        lambda: (our_programs(operated), service_containers()),
        lambda seen: not any(seen),
        PATIENCE,
        what="programs and containers to be gone",
    )
    assert not list((operated.folder / "workshop" / "workspaces").iterdir())
    wait_until(
        lambda: operated.runs.said and operated.runs.said[-1].text,
        lambda text: bool(text) and "cancelled" in text,
        PATIENCE,
        what="Slack to be told",
    )
