"""The demonstration: one commit of the sample application, through the whole pipeline, here.

    make demo            ends with everything stopped
    KEEP=1 make demo     leaves server, worker and sandbox up, and prints their addresses

It runs as its users run it: a Prefect server, registered blocks and deployments, a process
worker, and `prefect deployment run`. Only what the deployments speak to is emulated.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from blocks.environment import Environment
from delivery.errors import DeliveryError, RolloutFailed
from delivery.messages import duration
from deployments.following import follow, run_with_tag, summary_of
from deployments.processes import Server, prefect_server, prefect_worker
from deployments.register import ROOT, register
from deployments.sandboxed import sandbox_environment
from sandbox.addresses import Addresses
from sandbox.base_images import ensure_base_images
from sandbox.engine import docker_engine
from sandbox.sample import sample_repository

FOLDER = ROOT / ".sandbox"
RUN_TIMEOUT_S = 900


def main() -> int:
    began = time.monotonic()
    try:
        figures = demonstrate(FOLDER, keep=os.environ.get("KEEP", "") not in ("", "0"))
    except DeliveryError as error:
        print(f"\ndemo: failed — {error}\n{error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted, everything was stopped", file=sys.stderr)
        return 130
    print(f"demo: ok — {figures}; {duration(time.monotonic() - began)} in all")
    return 0


def demonstrate(folder: Path, *, keep: bool) -> str:
    """Run the pipeline twice, show what came of it, and return the figures."""
    with ExitStack() as stack:
        forget_results(folder)
        addresses = stack.enter_context(running_sandbox(folder, keep=keep))
        with step("sample application: a git repository with one commit"):
            sample = sample_repository(folder / "kanvaro")
            prepare_base_images((sample.folder / "Dockerfile").read_text())
        with step("Prefect server"):
            server = stack.enter_context(prefect_server(folder, keep=keep))
        with using(server):
            with step("blocks and deployments registered"):
                environment = sandbox_environment(
                    folder, repository=str(sample.folder), ui_address=server.address
                )
                register({environment.name: environment}, say=lambda _: None)
            stack.enter_context(prefect_worker(folder, server, keep=keep))
            print(f"\n  Prefect UI   {server.address}\n  Slack        {addresses.slack_page}\n")
            with get_client(sync_client=True) as client:
                first = run_pipeline(client, server, sample.revision)
                show_outcome(client, first)
                live = show_live(environment, sample.revision, addresses)
                second = run_pipeline(client, server, sample.revision)
        if keep:
            show_how_to_use(server, addresses)
    return (
        f"{live}, checked and deployed in {duration(_seconds(first))}, "
        f"unchanged again in {duration(_seconds(second))}"
    )


def forget_results(folder: Path) -> None:
    """Forget what an earlier demonstration proved: this one shows it again, from the beginning."""
    shutil.rmtree(folder / "prefect" / "storage", ignore_errors=True)


def prepare_base_images(dockerfile: str) -> None:
    """Have what a Dockerfile builds on: pulled where that is possible, else a local stand-in."""
    with closing(docker_engine().client()) as client:
        ensure_base_images(client, dockerfile)


def run_pipeline(client: SyncPrefectClient, server: Server, revision: str) -> FlowRun:
    """Start `ci/kanvaro` with the command line, tell its steps, and demand its success."""
    tag = f"demo-{uuid.uuid4().hex[:8]}"
    parameters = json.dumps({"revision": revision})
    command = ["deployment", "run", "ci/kanvaro", "--params", parameters, "--tag", tag, "--watch"]
    print(f"$ prefect deployment run ci/kanvaro --params '{parameters}' --watch")
    watching = subprocess.Popen(
        [sys.executable, "-m", "prefect", *command, "--watch-timeout", str(RUN_TIMEOUT_S)],
        cwd=ROOT,
        env={**os.environ, **server.settings},
        stdout=subprocess.DEVNULL,
    )
    try:
        run = follow(client, run_with_tag(client, tag).id, print, RUN_TIMEOUT_S)
        code = watching.wait(30)
    finally:
        if watching.poll() is None:
            watching.terminate()
            watching.wait()
    if code or not run.state or not run.state.is_completed():
        reason = run.state.message if run.state else "unknown"
        print(summary_of(client, run.id))
        raise RolloutFailed(f"the run ended as {run.state and run.state.name}: {reason}")
    print(f"  {run.state.name} after {duration(_seconds(run))}\n")
    return run


def show_outcome(client: SyncPrefectClient, run: FlowRun) -> None:
    """Print the summary artifact, which is what the run's page in the UI shows."""
    print(summary_of(client, run.id))


def show_live(environment: Environment, revision: str, addresses: Addresses) -> str:
    """Ask the application itself what is live, and print what Slack was told."""
    app_runner = environment.reads("apprunner")
    [service] = app_runner.list_services()["ServiceSummaryList"]
    address = f"http://{service['ServiceUrl']}"
    answer = httpx.get(f"{address}/api/health", timeout=10).json()
    if answer.get("revision") != revision:
        raise RolloutFailed(f"{address} answers {answer}, not {revision}")
    print(f"live now: {address}/api/health answers {json.dumps(answer)}\n")
    for channel, threads in httpx.get(f"{addresses.inbox}/slack.json").json()["channels"].items():
        for thread in threads:
            print(f"Slack #{channel}: {thread[0]['text']}")
            for reply in thread[1:]:
                print(f"    ↳ {reply['text']}")
    print()
    return f"revision {revision[:10]} live"


def show_how_to_use(server: Server, addresses: Addresses) -> None:
    print(
        f"left running:\n  Prefect UI   {server.address}\n  Slack        {addresses.slack_page}\n"
        f"  App Runner   {addresses.app_runner}\n  AWS          {addresses.aws}\n"
        f"  export PREFECT_API_URL={server.address}/api\n"
        "stop with: make sandbox-stop\n"
    )


@contextmanager
def running_sandbox(folder: Path, *, keep: bool) -> Iterator[Addresses]:
    """A sandbox as a process of its own, stopped at the end unless it is to be kept.

    One that is not to be kept also ends when this process is killed.
    """
    with _pipe() as reading:
        start_sandbox(folder, lifeline=None if keep else reading)
        try:
            yield Addresses.read(folder)
        except BaseException:
            keep = False
            raise
        finally:
            if not keep:
                _sandbox("--stop", "--folder", str(folder))


def start_sandbox(folder: Path, *, lifeline: int | None = None) -> None:
    """Have a sandbox run in `folder`; one that runs there already is used.

    A new one ends when the writing end of the pipe `lifeline` is closed, if one is given.
    """
    bound = () if lifeline is None else ("--with-stdin",)
    _sandbox("--detach", *bound, "--folder", str(folder), stdin=lifeline)


@contextmanager
def using(server: Server) -> Iterator[None]:
    """Let this process, and those it starts, speak to `server`."""
    os.environ.update(server.settings)
    with temporary_settings({PREFECT_API_URL: f"{server.address}/api"}):
        yield


@contextmanager
def step(what: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"{what} … ", end="", flush=True)
    yield
    print(f"{time.monotonic() - began:.1f} s", flush=True)


@contextmanager
def _pipe() -> Iterator[int]:
    """The reading end of a pipe that nobody writes to, and that is closed with this process."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


def _sandbox(*arguments: str, stdin: int | None = None) -> None:
    code = subprocess.run(
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=subprocess.DEVNULL,  # how to use it by hand; what it does goes to stderr
        check=False,
    ).returncode
    if code:
        raise DeliveryError(f"the sandbox could not do {arguments[0]}; see above")


def _seconds(run: FlowRun) -> float:
    return run.total_run_time.total_seconds()


if __name__ == "__main__":
    sys.exit(main())
