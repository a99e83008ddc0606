"""Provide a Prefect backend and a sandbox for all flows, and a small application."""

import json
import sys
import uuid
from types import SimpleNamespace

import httpx
import pytest
from prefect import get_client
from prefect.blocks.core import Block
from prefect.settings import (
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_LOCAL_STORAGE_PATH,
    temporary_settings,
)

from deployments.run_progress import summary_of
from deployments.sandbox_environment import sandbox_environment
from flows.ci import ci
from sandbox.host.engine import docker_engine
from sandbox.images.base_images import ensure_base_image, ensure_check_images
from sandbox.parts.sample import Sample, git
from sandbox.start import Sandbox
from tests.databases import throwaway_server, types_registered_once
from tests.flows.deploy.moves import Moves
from tests.flows.rotation.mailing import Mail
from tests.flows.rotation.rotation_world import Databases, Rotating, strict_way
from tests.flows.stand import Stand, remove_services, rename_service
from tests.permissions import Called

SERVER = """
const { createServer } = require('http');
const mood = '%(mood)s';
const revision = mood === 'wrong revision' ? '0'.repeat(40) : process.env.REVISION;
if (mood === 'exits') process.exit(1);
createServer((request, response) => {
  const well = mood !== 'sick';
  response.writeHead(well ? 200 : 503, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ status: well ? 'ready' : 'not ready', revision }));
}).listen(process.env.PORT);
process.on('SIGTERM', () => process.exit(0));
"""
IS_NUMBER = (
    "sha512-41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741"
    "+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng=="
)
DOCKERFILE = """
FROM node:22-bookworm-slim
ARG REVISION
ENV REVISION=${REVISION}
COPY server.js /
CMD ["node", "/server.js"]
"""


@pytest.fixture(scope="session", autouse=True)
def prefect_backend(tmp_path_factory):
    """Keep the results of this session apart, so that no earlier result is reused.

    Runs of this process send Prefect no heartbeats, which nobody awaits here: the end of each run
    waits for their thread, which sleeps for a second at a time.
    """
    store = tmp_path_factory.mktemp("results")
    own = {PREFECT_LOCAL_STORAGE_PATH: store, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with throwaway_server(), types_registered_once(), temporary_settings(own):
        yield


@pytest.fixture(scope="session", autouse=True)
def secret_fields_read_once():
    """Cache which fields of a block are secret: Prefect makes its schema anew for each of them."""
    ask, known = Block._field_has_secrets, {}

    def once(block, field):
        key = type(block), field
        if key not in known:
            known[key] = ask(block, field)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Block, "_field_has_secrets", once)
        yield


@pytest.fixture(scope="session", autouse=True)
def called(request):
    """Record what the flows of this row call in AWS; tests/test_permissions.py compares it."""
    with Called().listening() as record:
        yield record
    if row := request.config.getoption("--row"):
        record.write(row)


@pytest.fixture(autouse=True)
def within_its_role(called):
    """Fail the test that needed a missing permission, not only `make test-after`."""
    yield
    beyond = called.beyond_roles()
    assert not beyond, f"deployments/aws/roles.yaml does not allow it: {'; '.join(beyond)}"


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sandbox")
    client = docker_engine().client()
    ensure_base_image(client, "node:22-bookworm-slim")
    ensure_check_images(client, ["node:22-bookworm"], lambda _: None)
    client.close()
    with Sandbox(folder, speed=1000) as running:
        running.folder = folder
        yield running


@pytest.fixture(scope="session")
def stand():
    """Provide everything but Docker, for flows that move traffic."""
    with Stand() as running:
        yield running


@pytest.fixture(scope="session")
def databases():
    with Databases() as running:
        yield running


@pytest.fixture(scope="session")
def strict(stand):
    with strict_way(stand) as way:
        yield way


@pytest.fixture(scope="session")
def mail(stand):
    with Mail(stand) as running:
        yield running


@pytest.fixture(scope="session")
def rotation_parts(stand, strict, databases, mail):
    """Provide what `rotation_crashes.world` needs."""
    return stand, strict, databases, mail


@pytest.fixture(scope="session")
def programs_started():
    """Record the command line of each started process, which every user of a machine can read."""
    started = []

    def hear(event, given):
        if event == "subprocess.Popen":
            started.append(f"{given[:2]}")

    sys.addaudithook(hear)
    return started


@pytest.fixture
def kept_secret(programs_started, stand, caplog):
    """Check at the end of a test that the secrets of these environments were not leaked.

    They may be in no file of Prefect (parameters, states, logs, events, artifacts, results), no
    message to Slack, not in the ledger, in no log line, and in no command line of a program.
    """
    watched = []
    yield lambda rotating: watched.append((rotating, rotating.texts()))
    logged = [caplog.handler.format(each) for each in caplog.get_records("call")]
    told = {
        "a file of Prefect": Rotating.stored(),
        "Slack": str([vars(each) for each in stand.fakes.slack.messages]).encode(),
        "a log": "\n".join(logged).encode(),
        "a command line": "\n".join(programs_started).encode(),
        "the ledger": str([each[0].in_the_ledger() for each in watched]).encode(),
    }
    for rotating, texts in watched:
        name = rotating.environment.name.encode()
        for place in ("a file of Prefect", "a log", "the ledger"):
            assert name in told[place], f"this is not {place}"
        # The report of the test must not show which of them it is.
        found = {
            place
            for place, text in told.items()
            if any(secret.encode() in text for secret in texts | rotating.texts())
        }
        assert not found


class Application:
    """A repository with an application whose checks take no time."""

    def __init__(self, folder, clone_of=None):
        folder.mkdir()
        self.sample = Sample(folder)
        self.extra = set()
        if clone_of:
            git(folder, "clone", "--quiet", clone_of, ".")
        else:
            git(folder, "init", "--quiet", "--initial-branch=main")

    @property
    def address(self):
        return str(self.sample.folder)

    def commit(
        self,
        *,
        mood="well",
        subject="a change",
        files=None,
        remove=(),
        with_dependency=False,
        **scripts,
    ):
        """Commit the application; a script named `test_unit` is `test:unit`.

        What an earlier commit added is removed, unless it is given again.
        """
        for name in self.extra:
            (self.sample.folder / name).unlink(missing_ok=True)
        self.extra = set(files or {})
        changed = {name.replace("_", ":"): text for name, text in scripts.items()}
        all_scripts = {"lint": "node -e 0", "test:unit": "node -e 0", **changed}
        package = {"name": "app", "version": "1.0.0", "scripts": all_scripts}
        packages = {"": {"name": "app", "version": "1.0.0"}}
        if with_dependency:  # npm sends no request for an application without any
            package["dependencies"] = packages[""]["dependencies"] = {"is-number": "7.0.0"}
            packages["node_modules/is-number"] = {"version": "7.0.0", "integrity": IS_NUMBER}
        lock = {
            "name": "app",
            "version": "1.0.0",
            "lockfileVersion": 3,
            "packages": packages,
        }
        for name in remove:
            (self.sample.folder / name).unlink(missing_ok=True)
        written = {
            "package.json": json.dumps(package, indent=1),
            "package-lock.json": json.dumps(lock, indent=1),
            "server.js": SERVER % {"mood": mood},
            "Dockerfile": DOCKERFILE,
            # No two commits have the same tree, so that no check has a cached result.
            "salt.txt": uuid.uuid4().hex,
        }
        written = {name: text for name, text in written.items() if name not in remove}
        return self.sample.commit({**written, **(files or {})}, subject)


class Runs:
    """Runs of the flow in one environment, and the state of the world after them."""

    def __init__(self, environment, sandbox):
        self.environment, self.sandbox = environment, sandbox

    def run(self, revision, ref="refs/heads/main", **parameters):
        state = ci(
            revision=revision,
            ref=ref,
            environment=self.environment.name,
            return_state=True,
            **parameters,
        )
        self.id = state.state_details.flow_run_id
        return state

    def ok(self, revision, **parameters):
        return self.run(revision, **parameters).result()

    def fail(self, kind, revision, **parameters):
        with pytest.raises(kind) as raised:
            self.run(revision, **parameters).result()
        return raised.value

    def change(self, **settings):
        """Change settings of the environment, as an operator would."""
        for name, value in settings.items():
            setattr(self.environment, name, value)
        self.environment.save(self.environment.name, overwrite=True)

    @property
    def summary(self):
        with get_client(sync_client=True) as client:
            return summary_of(client, self.id)

    @property
    def said(self):
        """Return the messages of the newest run's Slack thread, the first one first."""
        threads = self.sandbox.fakes.slack.threads("deployments")
        mine = [thread for thread in threads if str(self.id) in str(thread)]
        return mine[-1] if mine else []

    @property
    def service(self):
        found = self.environment.retrying("apprunner").list_services()["ServiceSummaryList"]
        mine = [s for s in found if s["ServiceName"] == self.environment.service.name]
        return mine[0] if mine else None

    def live(self):
        address = f"http://{self.service['ServiceUrl']}/api/health"
        return httpx.get(address, timeout=5).json()["revision"]

    def changes(self):
        """Return the calls that changed this environment's service, in order."""
        retrying = ("Describe", "List")
        return [
            call.operation
            for call in self.sandbox.app_runner.calls
            if not call.operation.startswith(retrying)
            and self.environment.service.name in str(call.parameters)
        ]


def environment_of(app, sandbox):
    """Create an environment of its own: no other test uses its service's name."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    made = sandbox_environment(sandbox.folder, repository=app.address, name=name)
    rename_service(made, f"kanvaro-{name}")
    # Most tests of `ci` look at one service only; others change this.
    made.strategy, made.public_address = "in-place", None
    made.policy.healthy_answers = 2
    made.policy.answer_interval_s = 0.05
    made.policy.operation_interval_s = 0.2
    made.policy.health_timeout_s = 5
    made.save(name, overwrite=True)
    return made


@pytest.fixture
def app(tmp_path):
    return Application(tmp_path / "app")


@pytest.fixture
def runs(app, sandbox):
    """Provide runs in an environment where nothing was ever deployed."""
    made = Runs(environment_of(app, sandbox), sandbox)
    yield made
    remove_services(made.environment)


@pytest.fixture(scope="module")
def served(tmp_path_factory, sandbox):
    """Provide runs in an environment with a live version: `app`, `first` and its `runs`."""
    app = Application(tmp_path_factory.mktemp("served") / "app")
    runs = Runs(environment_of(app, sandbox), sandbox)
    first = app.commit()
    runs.ok(first)
    yield SimpleNamespace(app=app, runs=runs, first=first)
    remove_services(runs.environment)


@pytest.fixture
def untouched(served):
    """Provide the served environment, which the test must not change."""
    before = served.runs.changes()
    yield served
    assert served.runs.changes() == before
    assert served.runs.live() == served.first


@pytest.fixture(scope="session")
def shipped(tmp_path_factory):
    """Provide the application's repository whose versions go to the stand."""
    return Application(tmp_path_factory.mktemp("shipped") / "app")


@pytest.fixture
def moves(stand, shipped, tmp_path_factory):
    """Return a factory of environments in which nothing was ever live, with policy settings."""
    made = []

    def make(**policy):
        made.append(Moves(stand, shipped, tmp_path_factory.mktemp("workshop"), **policy))
        return made[-1]

    yield make
    for each in made:
        each.remove()
