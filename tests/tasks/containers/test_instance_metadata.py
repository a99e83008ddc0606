"""Whether the machine's credentials answer a container, asked of a server that stands for them."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from prefect.logging import disable_run_logger

from delivery.errors import ConfigurationError
from sandbox.host.bridge import bridge_address
from sandbox.host.engine import docker_engine
from sandbox.parts.sample import git
from tasks.workspace.application import volume_with
from tasks.workspace.checkout import check_out
from tasks.workspace.workspace import open_workspace
from tests.tasks.containers.engines import IMAGE, environment_with


@contextmanager
def metadata(put, get):
    """Answer as instance metadata does: 200 with a token or a list, or a refusal."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status):
            asked.append(self.command)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"x")

        def do_PUT(self):
            has_lifetime = "X-aws-ec2-metadata-token-ttl-seconds" in self.headers
            self.answer(put if has_lifetime else 400)

        def do_GET(self):
            self.answer(get)

        def log_message(self, *_):
            pass

    asked = []
    client = docker_engine().client()
    address = bridge_address(client)
    client.close()
    if not address:
        pytest.skip("the engine's bridge is not on this machine")
    with HTTPServer((address, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{address}:{server.server_port}", asked
        finally:
            server.shutdown()


@pytest.fixture
def start(tmp_path):
    """Begin a run in an environment with this metadata address."""
    upstream = tmp_path / "app"
    upstream.mkdir()
    git(upstream, "init", "--quiet", "--initial-branch=main")
    git(upstream, "commit", "--quiet", "--allow-empty", "--message", "first")
    environment = environment_with(tmp_path)

    def start_it(address):
        environment.metadata_address = address
        with open_workspace(environment) as workspace, disable_run_logger():
            source = check_out(str(upstream), None, "main", workspace.source, workspace.mirrors)
            volume_with(environment, source, workspace, IMAGE)

    return start_it


@pytest.mark.parametrize(("put", "get"), [(200, 401), (403, 200)], ids=["version 2", "version 1"])
def test_no_code_runs_where_the_machines_credentials_answer(start, put, get):
    with metadata(put, get) as (address, asked):
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="could act in the role") as refused:
                start(address)

    assert "--http-put-response-hop-limit 1" in refused.value.hint
    assert asked.count("PUT") == 2, "a refusal is not remembered"


def test_where_nothing_answers_a_worker_looks_once(start):
    with metadata(403, 401) as (address, asked):
        start(address)
        start(address)

    assert sorted(asked) == ["GET", "PUT"]
