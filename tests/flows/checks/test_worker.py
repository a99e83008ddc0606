"""Runs as their users start them: through a server, a deployment and a worker."""

import base64
import json
from types import SimpleNamespace

import docker
import pytest
from prefect import get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.deployments import run_deployment
from pydantic import SecretStr

from delivery.patience import Patience, wait_until
from deployments.register import register
from deployments.sandbox_environment import GITHUB_REPOSITORY
from deployments.server.processes import prefect_server, prefect_worker, using
from deployments.webhooks.github_webhook import receiver
from tasks.containers.run_engine import CHECK
from tasks.containers.service_containers import service_containers
from tests.databases import migrated_database
from tests.deliveries import delivered, event_of
from tests.flows.checks.hostility import ATTACKS, CANARIES, CLEAN, Aims, hostile_files
from tests.flows.conftest import Application, Runs, environment_of
from tests.flows.deploy.moves import state_of
from tests.flows.github.pulling import newest_statuses

SECRET = "a-secret-of-a-webhook"
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


@pytest.fixture
def another_service(operated):
    """A database of another run's check: its address."""
    client = docker.from_env()
    labels = {CHECK: "another-run"}
    try:
        with service_containers(client, operated.runs.environment, ["redis"], labels):
            [redis] = client.containers.list(filters={"label": f"{CHECK}=another-run"})
            [found] = redis.attrs["NetworkSettings"]["Networks"].values()
            yield found["IPAddress"], 6379
    finally:
        client.close()


@pytest.fixture
def aims(operated, sandbox, another_service):
    """What of ours a hostile application knows, of which it should reach nothing."""
    made = Aims(operated, sandbox, another_service)
    assert len(made.ports) > 5
    policy = operated.runs.environment.policy
    policy.checks_at_once = 1
    policy.after_a_failure = "run all"
    operated.runs.change()
    return made


def test_a_hostile_check_reaches_nothing_of_ours(operated, aims, figure):
    """What the review of the pipeline broke in by, and more, through a server and a worker."""
    before = await_end(start(operated, operated.app.commit(remove=["Dockerfile"])))
    assert before.is_completed()
    objects = aims.objects()
    revision = operated.app.commit(
        files=hostile_files(aims.told()),
        lint="node hostile.cjs",
        test_unit="node look.cjs",
        remove=["Dockerfile"],
    )

    state = await_end(start(operated, revision))

    assert state.is_failed()
    assert "leak.ts" in str(state.message), "a scanner sees the commit, whatever a check deletes"
    [log] = [text for text in aims.logs("lint") if "ATTACK" in text]
    tried, through = aims.attacks_through(log)
    figure(f"attacks_tried={len(tried)} attacks_through={len(through)}")
    assert len(tried) == ATTACKS
    assert not through
    assert "unit" not in str(state.message).partition("the others")[0], "it outlived its container"
    assert aims.objects() >= objects

    again = operated.app.commit(lint=CLEAN)
    assert await_end(start(operated, again)).is_completed()
    for canary in CANARIES.values():
        assert not [text for text in aims.logs("*") if canary in text]


@pytest.fixture
def forked(operated, sandbox, tmp_path):
    """A stranger's fork, whose pull requests are checked here as soon as the door hears of them."""
    hub = sandbox.fakes.github
    operated.app.commit()
    hub.keep(GITHUB_REPOSITORY, operated.app.sample.folder)
    policy = operated.runs.environment.policy
    policy.forks, policy.check_memory_mb, policy.check_processes = "run", 512, 150
    operated.runs.change()
    with get_client(sync_client=True) as client:
        asked = client.read_deployment_by_name("pull-request/kanvaro")
        named = {**asked.parameters, "environment": operated.runs.environment.name}
        client.update_deployment(asked.id, DeploymentUpdate(parameters=named))
    fork = Application(tmp_path / "fork", clone_of=operated.app.address)
    yield SimpleNamespace(app=fork, hub=hub, asked=asked.id)
    policy.forks, policy.check_memory_mb, policy.check_processes = "refuse", 4096, 2048
    operated.runs.change()


def test_a_hostile_fork_that_comes_through_the_door_reaches_nothing_of_ours(
    operated, aims, forked, figure
):
    """The same by a pull request: GitHub's event, the door, the server, the worker.

    Its other checks take all the memory and all the processes that they get, and the whole change
    is pushed to main afterwards: nothing that it left makes `ci` believe a check that failed.
    """
    written = {
        "files": hostile_files(aims.told()),
        "lint": "node hostile.cjs && node exhaust.cjs log",
        "test_unit": "node exhaust.cjs memory",
        "format_check": "node exhaust.cjs processes",
    }
    revision = forked.app.commit(remove=["Dockerfile"], **written)
    opened = {"fork": "mallory/kanvaro", "fork_folder": forked.app.sample.folder}
    pull = forked.hub.open_pull(GITHUB_REPOSITORY, head="main", author="mallory", **opened)

    event = event_of(operated.runs.environment.github_address, GITHUB_REPOSITORY, pull.number)
    answer = delivered(receiver(SECRET, GITHUB_REPOSITORY), SECRET, "pull_request", event)
    assert answer.json()["said"] == "started: pull-request/kanvaro"
    [run] = wait_until(lambda: runs_of(forked.asked), bool, PATIENCE, what="a run")

    assert await_end(run.id).is_failed()
    [log] = [text for text in aims.logs("lint") if "ATTACK" in text and "line 49999" in text]
    tried, through = aims.attacks_through(log)
    figure(f"attacks_tried={len(tried)} attacks_through={len(through)} (a fork's, by the webhook)")
    assert len(tried) == ATTACKS
    assert not through
    assert len(logged_by(run.id)) < 2000, "50,000 lines of a check are bounded"
    said = newest_statuses(forked.hub.repository(GITHUB_REPOSITORY), revision)
    assert said["kanvaro"].startswith("failure")
    assert said["kanvaro/lint"].startswith("success")
    assert "512 MB of memory" in said["kanvaro/unit"]
    assert said["kanvaro/format"].startswith("failure")
    assert any("EAGAIN" in text for text in aims.logs("format"))
    for canary in CANARIES.values():
        assert not [text for text in aims.logs("*") if canary in text]

    on_main = operated.app.commit(**written)
    assert "unit" in str(await_end(start(operated, on_main)).message)


def runs_of(deployment):
    with get_client(sync_client=True) as client:
        return [run for run in client.read_flow_runs() if run.deployment_id == deployment]


def logged_by(run):
    mine = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
    with get_client(sync_client=True) as client:
        pages = [client.read_logs(mine, limit=200, offset=at * 200) for at in range(20)]
    return [line for page in pages for line in page]
