"""Take the sample application through the whole pipeline on this machine, forward and back.

    make demo            stops everything at the end
    KEEP=1 make demo     leaves server, worker and sandbox running, and prints their addresses

It works as for a user: a Prefect server, registered blocks and deployments, a process worker, and
`prefect deployment run`. Only the services that the deployments talk to are emulated.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
from prefect.client.orchestration import get_client

from blocks.environment import Environment
from blocks.policy import Policy
from delivery.errors import DeliveryError, RolloutFailed
from delivery.maintenance.status import as_text
from delivery.text import duration
from deployments import ROOT
from deployments.demo.chapters import begin
from deployments.demo.command_line import CommandLine, seconds_of
from deployments.demo.request import Preview, preview, resolve
from deployments.demo.show_pull_request import show_pull_request
from deployments.demo.show_release import show_release
from deployments.demo.show_schedule import quicken, show_ticks
from deployments.demo.show_switches import show_live, show_switches
from deployments.demo.terminal import run_command
from deployments.register import register
from deployments.run_progress import show_summary
from deployments.sandbox_environment import sandbox_environment
from deployments.server.processes import Server, prefect_server, prefect_worker, using
from sandbox.addresses import Addresses
from sandbox.host.engine import docker_engine
from sandbox.images.base_images import ensure_base_images, ensure_check_images
from sandbox.parts.sample import Sample, sample_repository
from tasks.maintenance.status import collect_status

FOLDER = ROOT / ".sandbox"


def main() -> int:
    keep = os.environ.get("KEEP", "") not in ("", "0")
    return run_command(
        "demo",
        lambda: demonstrate(FOLDER, keep=keep),
        interrupted="everything was stopped",
        hint_of=lambda error: hint_of(error, keep=keep),
    )


def hint_of(error: DeliveryError, *, keep: bool) -> str:
    """Return what to do about a failure; a run can be opened only where the server still runs."""
    if keep or error.hint != DeliveryError.hint:
        return error.hint
    return "Everything was stopped. `KEEP=1 make demo` leaves it running, to look at."


def demonstrate(folder: Path, *, keep: bool) -> str:
    """Deploy versions and roll them back, print the results, and return the figures.

    The checks run once, for the pull request: what it merges has the same content, so `ci` accepts
    their result.
    """
    docker_engine()  # started or refused before any part of the sandbox
    with ExitStack() as stack:
        forget_results(folder)
        addresses = stack.enter_context(running_sandbox(folder, keep=keep))
        with step("sample application: a git repository with one commit"):
            sample = sample_repository(folder / "kanvaro")
        with step("images of its checks and its Dockerfile"):
            prepare_images(preview_of(sample, folder))
        with step("Prefect server"):
            server = stack.enter_context(prefect_server(folder, keep=keep))
        with using(server):
            with step("blocks and deployments registered"):
                environment = sandbox_environment(
                    folder, repository=str(sample.folder), ui_address=server.address
                )
                register({environment.name: environment}, say=lambda _: None)
            stack.enter_context(prefect_worker(folder, server, keep=keep))
            print(
                f"\n  Prefect UI   {server.address} ({how_to_log_in(server)})\n"
                f"  Slack        {addresses.slack_page}\n"
            )
            newer = ""
            with failures_kept(keep) as failures, get_client(sync_client=True) as client:
                often = quicken(client, "reconcile/production")
                line = CommandLine(client, server)
                begin("a pull request is checked")
                revision, pulled = show_pull_request(line, sample, addresses)
                begin("it is merged and goes live")
                first = line.run("ci/kanvaro", revision=revision)
                show_summary(client, first.id)
                live = show_live(revision, addresses)
                begin("a release of it")
                released = show_release(line, sample, addresses)
                switched, newer = show_switches(line, sample, addresses)
                begin("what is live now, and who was told")
                line.run("status/production")
                ticked = show_ticks(client, often)
                show_slack_messages(addresses)
                show_status(environment)
        if keep:
            show_how_to_use(server, addresses, newer)
    if failures:
        raise failures[0]
    return (
        f"{pulled}; {live}, deployed in {duration(seconds_of(first))} without another check; "
        f"{released}; {switched}; {ticked}"
    )


@contextmanager
def failures_kept(keep: bool) -> Iterator[list[DeliveryError]]:
    """Yield a list for a failure of the block, which would stop all that runs; else let it pass."""
    failures: list[DeliveryError] = []
    try:
        yield failures
    except DeliveryError as error:
        if not keep:
            raise
        failures.append(error)


def forget_results(folder: Path) -> None:
    """Delete cached check results of an earlier demonstration, so that this one shows them."""
    shutil.rmtree(folder / "prefect" / "storage", ignore_errors=True)


def preview_of(sample: Sample, folder: Path) -> Preview:
    """Return what would run of the sample's newest commit."""
    mirrors = folder / "workshop" / "mirrors"
    mirrors.mkdir(mode=0o700, parents=True, exist_ok=True)
    request = resolve(str(sample.folder), "", "", mirrors)
    return preview(request, None, mirrors, Policy().audit_level)


def prepare_images(content: Preview) -> None:
    """Provide the images of the checks and of the Dockerfile: pulled if possible, else a stand-in.

    Raises `ConfigurationError` if one cannot be had.
    """
    with closing(docker_engine().client()) as client:
        ensure_check_images(client, content.plan.needed_images)
        if content.dockerfile is not None:
            ensure_base_images(client, content.dockerfile)


def show_status(environment: Environment) -> None:
    """Print what `make status` says. Raises `RolloutFailed` if something is not well."""
    seen = collect_status(environment.act_for("status", "demo"))
    print(f"$ make status\n{as_text(seen)}\n")
    if not seen.is_well:
        raise RolloutFailed(f"after the demonstration: {'; '.join(seen.alerts)}")


def show_slack_messages(addresses: Addresses) -> None:
    for channel, threads in httpx.get(f"{addresses.fakes}/slack.json").json()["channels"].items():
        for thread in threads:
            print(f"Slack #{channel}: {thread[0]['text']}")
            for reply in thread[1:]:
                print(f"    ↳ {reply['text']}")
    print()


def how_to_log_in(server: Server) -> str:
    """Say where the line is that Prefect's UI asks for."""
    return f"log in with the line in {_shown(server.password_file)}"


def _shown(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def show_how_to_use(server: Server, addresses: Addresses, newer: str) -> None:
    """Print addresses to look at, and commands that move the traffic in this setup.

    `newer` is a version to deploy; it is empty if the demonstration did not get so far.
    """
    deploy = f'  make deploy VERSION={newer} REASON="it was right after all"\n' if newer else ""
    print(
        f"left running:\n  Prefect UI   {server.address} ({how_to_log_in(server)})\n"
        f"  Slack        {addresses.slack_page}\n"
        f"  live         {addresses.public}/api/health\n"
        f"  App Runner   {addresses.app_runner}\n  AWS          {addresses.aws}\n\n"
        "To move the traffic yourself, type in this folder:\n"
        f"  export PREFECT_API_URL={server.address}/api\n"
        f"  export PREFECT_API_AUTH_STRING=$(cat {_shown(server.password_file)})\n"
        f"{deploy}"
        '  make rollback REASON="trying it"\n\n'
        "`make status` says what is live and how to get back; `make sandbox-stop` ends it all.\n"
    )


@contextmanager
def running_sandbox(folder: Path, *, keep: bool) -> Iterator[Addresses]:
    """Run a sandbox as a process of its own; stop it at the end unless `keep` is set.

    Without `keep` it also ends when this process is killed.
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
    """Start a sandbox in `folder`, or use the one that runs there already.

    A new one ends when the writing end of the pipe `lifeline` is closed, if one is given.
    """
    bound = () if lifeline is None else ("--with-stdin",)
    _sandbox("--detach", *bound, "--folder", str(folder), stdin=lifeline)


@contextmanager
def step(what: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"{what} … ", end="", flush=True)
    yield
    print(f"{time.monotonic() - began:.1f} s", flush=True)


@contextmanager
def _pipe() -> Iterator[int]:
    """Yield the reading end of a pipe that nothing writes to; it closes with this process."""
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
        stdout=subprocess.DEVNULL,  # usage for people; progress goes to stderr
        check=False,
    ).returncode
    if code:
        raise DeliveryError(
            f"the sandbox could not do {arguments[0]}; see above",
            hint="Mend what is named above, then run again; its log is .sandbox/sandbox.log.",
        )


if __name__ == "__main__":
    sys.exit(main())
