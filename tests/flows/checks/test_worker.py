"""Runs as their users start them: through a server, a deployment and a worker."""

import base64
import json
import re
import uuid
from pathlib import Path
from types import SimpleNamespace

import docker
import pytest
from prefect import get_client
from prefect.deployments import run_deployment
from pydantic import SecretStr

from delivery.patience import Patience, wait_until
from deployments import ROOT
from deployments.register import register
from deployments.sandbox_environment import _service_images
from deployments.server.processes import prefect_server, prefect_worker, using
from sandbox.parts.sample import git
from tasks.containers.run_engine import CHECK, network
from tests.databases import migrated_database
from tests.flows.conftest import Application, Runs, environment_of
from tests.flows.deploy.moves import state_of

CANARIES = {
    "aws": "CANARY-5f1c0e9d7b3a",
    "snyk": "CANARY-8a7d6c5b4f3e",
    "worker": "CANARY-2c4e6a8b0d1f",
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
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("KANVARO_OPERATORS_TOKEN", CANARIES["worker"])
            worker = prefect_worker(folder, server)
            with worker:
                yield SimpleNamespace(folder=folder, app=app, runs=runs, server=server)


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


def containers():
    """The containers of the check: its own, and those of its two services."""
    client = docker.from_env()
    try:
        return client.containers.list(filters={"label": f"{CHECK}=integration"})
    finally:
        client.close()


def started_and_busy(operated):
    """A run that is in the middle of a check with databases of its own."""
    revision = operated.app.commit(test_integration=SLEEP)
    run_id = start(operated, revision)
    wait_until(
        containers,
        lambda seen: len(seen) == 3,
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


def test_a_cancelled_run_ends_its_containers_and_says_so(operated):
    run_id = started_and_busy(operated)

    with get_client(sync_client=True) as client:
        from prefect.states import Cancelling

        client.set_flow_run_state(run_id, Cancelling())

    assert await_end(run_id).is_cancelled()
    wait_until(
        containers,
        lambda seen: not seen,
        PATIENCE,
        what="the containers to be gone",
    )
    assert not list((operated.folder / "workshop" / "workspaces").iterdir())
    wait_until(
        lambda: operated.runs.said and operated.runs.said[-1].text,
        lambda text: bool(text) and "cancelled" in text,
        PATIENCE,
        what="Slack to be told",
    )


HOSTILE = (Path(__file__).parent / "hostile.cjs").read_text()
A_KEY = "AKIAQ3EGR7N5XYZPLMKT"
ATTACKS = 13
HOOKED = Path("/tmp/kanvaro-hostile-hook")  # noqa: S108  the hooks that the check leaves make it
# Whether what the hostile check started still writes.
LOOK = """
const read = () => require('fs').readFileSync('/workspace/alive', 'utf8');
const before = read();
setTimeout(() => process.exit(read() === before ? 0 : 9), 500);
"""
CLEAN = 'test ! -e "$npm_config_cache/poisoned" && test ! -e .git/hooks/post-checkout'


@pytest.fixture
def another_service(sandbox):
    """A database of another run: its address, on a network of its own."""
    client = docker.from_env()
    image = sandbox_service("redis")
    labels = {CHECK: "another-run"}
    try:
        with network(client, f"kanvaro-another-{uuid.uuid4().hex[:8]}", labels) as connected:
            made = client.containers.run(image, detach=True, network=connected, labels=labels)
            try:
                made.reload()
                [found] = made.attrs["NetworkSettings"]["Networks"].values()
                yield found["IPAddress"], 6379
            finally:
                made.remove(force=True)
    finally:
        client.close()


def sandbox_service(name):
    return _service_images()[name].reference


def ports_in(values):
    return sorted({int(port) for text in values for port in re.findall(r":(\d{4,5})\b", str(text))})


def targets(operated, sandbox, service):
    data_dir = operated.runs.environment.data_dir
    return {
        "folders": [
            str(folder)
            for folder in (
                *(data_dir, data_dir / "mirrors", data_dir / "logs", operated.folder / "prefect"),
                *(operated.app.sample.folder, ROOT, Path.home() / ".config/kanvaro-delivery"),
            )
        ],
        "ports": ports_in([operated.server.address, *vars(sandbox.addresses).values()]),
        "bridge": sandbox.addresses.bridge,
        "services": [service],
    }


def test_a_hostile_check_reaches_nothing_of_ours(operated, sandbox, another_service, figure):
    """What the review of the pipeline broke in by, and more, through a server and a worker."""
    aims = targets(operated, sandbox, another_service)
    assert len(aims["ports"]) > 5
    operated.runs.environment.policy.checks_at_once = 1
    operated.runs.environment.policy.after_a_failure = "run all"
    operated.runs.change()
    for folder in aims["folders"][:4]:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "canary").write_text(CANARIES["worker"])
    before = await_end(start(operated, operated.app.commit(remove=["Dockerfile"])))
    assert before.is_completed()
    objects = objects_of(operated)
    files = {
        "hostile.cjs": HOSTILE,
        "targets.json": json.dumps(aims),
        "look.cjs": LOOK,
        "leak.ts": f"export const key = '{A_KEY}';\n",
    }
    revision = operated.app.commit(
        files=files, lint="node hostile.cjs", test_unit="node look.cjs", remove=["Dockerfile"]
    )

    state = await_end(start(operated, revision))

    assert state.is_failed()
    assert "leak.ts" in str(state.message), "a scanner sees the commit, whatever a check deletes"
    [log] = [path.read_text() for path in logs_of(operated, "lint") if "ATTACK" in path.read_text()]
    said = [line.removeprefix("ATTACK ") for line in log.splitlines() if "ATTACK " in line]
    tried = [json.loads(line) for line in said]
    through = [attack for attack in tried if attack["through"]]
    figure(f"attacks_tried={len(tried)} attacks_through={len(through)}")
    assert len(tried) == ATTACKS
    assert not through
    assert "unit" not in str(state.message).partition("the others")[0], "it outlived its container"
    assert not HOOKED.exists()
    for folder in aims["folders"]:
        assert not (Path(folder) / "planted").exists()
    assert objects_of(operated) >= objects

    again = operated.app.commit(lint=CLEAN)
    assert await_end(start(operated, again)).is_completed()
    for canary in CANARIES.values():
        assert not [path for path in logs_of(operated, "*") if canary in path.read_text()]


def objects_of(operated):
    """What the mirror holds, after git has read every object of it."""
    [mirror] = (operated.runs.environment.data_dir / "mirrors").rglob("*.git")
    git(mirror, "fsck", "--strict")
    return set(git(mirror, "rev-list", "--all", "--objects").split())


def logs_of(operated, name):
    return list((operated.runs.environment.data_dir / "logs").glob(f"*/{name}.log"))
