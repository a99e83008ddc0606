"""A Prefect backend and a whole sandbox, once for all flows; an application of a few lines."""

import json
import uuid

import pytest
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from deployments.sandboxed import sandbox_environment
from sandbox.base_images import ensure_base_image
from sandbox.engine import docker_engine
from sandbox.sample import Sample, git
from sandbox.start import Sandbox

SERVER = """
const { createServer } = require('http');
const mood = '%(mood)s';
const revision = mood === 'wrong revision' ? '0'.repeat(40) : process.env.REVISION;
createServer((request, response) => {
  const well = mood !== 'sick';
  response.writeHead(well ? 200 : 503, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ status: well ? 'ready' : 'not ready', revision }));
}).listen(process.env.PORT);
process.on('SIGTERM', () => process.exit(0));
"""
DOCKERFILE = """
FROM node:22-bookworm-slim
ARG REVISION
ENV REVISION=${REVISION}
COPY server.js /
CMD ["node", "/server.js"]
"""


@pytest.fixture(scope="session", autouse=True)
def prefect_backend(tmp_path_factory):
    """Results of this session are kept apart, so that no pass of yesterday is believed."""
    store = tmp_path_factory.mktemp("results")
    with (
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_LOCAL_STORAGE_PATH: store}),
    ):
        yield


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sandbox")
    client = docker_engine().client()
    ensure_base_image(client, "node:22-bookworm-slim")
    client.close()
    with Sandbox(folder, speed=1000) as running:
        running.folder = folder
        yield running


class Application:
    """A repository with an application that takes no time to check."""

    def __init__(self, folder):
        folder.mkdir()
        self.sample = Sample(folder)
        self.scripts = {"lint": "node -e 0", "test:unit": "node -e 0"}
        git(folder, "init", "--quiet", "--initial-branch=main")

    @property
    def address(self):
        return str(self.sample.folder)

    def commit(self, *, mood="well", subject="a change", files=None, remove=(), **scripts):
        """Commit the application; a script named `test_unit` is `test:unit`, None removes it."""
        changed = {name.replace("_", ":"): text for name, text in scripts.items()}
        self.scripts = {k: v for k, v in (self.scripts | changed).items() if v is not None}
        package = {"name": "app", "version": "1.0.0", "scripts": self.scripts}
        lock = {
            "name": "app",
            "version": "1.0.0",
            "lockfileVersion": 3,
            "packages": {"": {"name": "app", "version": "1.0.0"}},
        }
        for name in remove:
            (self.sample.folder / name).unlink()
        written = {
            "package.json": json.dumps(package, indent=1),
            "package-lock.json": json.dumps(lock, indent=1),
            "server.js": SERVER % {"mood": mood},
            "Dockerfile": DOCKERFILE,
            # No two commits have the same tree, so that no check was proven before.
            "salt.txt": uuid.uuid4().hex,
        }
        written = {name: text for name, text in written.items() if name not in remove}
        return self.sample.commit({**written, **(files or {})}, subject)


@pytest.fixture
def app(tmp_path):
    return Application(tmp_path / "app")


@pytest.fixture
def environment(sandbox, app):
    """An environment of its own for each test: its service has a name nobody else uses."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    made = sandbox_environment(sandbox.folder, repository=app.address, name=name)
    made.service.name = f"kanvaro-{name}"
    made.policy.healthy_answers = 2
    made.policy.answer_interval_s = 0.05
    made.policy.operation_interval_s = 0.2
    made.policy.health_timeout_s = 10
    made.save(name, overwrite=True)
    return made


class Change:
    """Settings of an environment that differ for one test."""

    def __init__(self, environment):
        self.environment = environment

    def __call__(self, **settings):
        for name, value in settings.items():
            setattr(self.environment, name, value)
        self.environment.save(self.environment.name, overwrite=True)


@pytest.fixture
def change(environment):
    return Change(environment)
