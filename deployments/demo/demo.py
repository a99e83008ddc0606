"""Take the sample application through the whole pipeline on this machine, forward and back.

    make demo            stops everything at the end
    KEEP=1 make demo     leaves server, worker and sandbox running, and prints their addresses

It works as for a user: a Prefect server, registered blocks and deployments, a process worker, and
`prefect deployment run`. Only the services that the deployments talk to are emulated.
"""

import json
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

from blocks.policy import Policy
from delivery.errors import DeliveryError, RolloutFailed
from delivery.text import duration
from deployments import ROOT
from deployments.demo.command_line import CommandLine, seconds_of
from deployments.demo.request import Preview, preview, resolve
from deployments.demo.show_pull_request import show_pull_request
from deployments.demo.show_release import show_release
from deployments.demo.show_schedule import quicken, show_ticks
from deployments.demo.terminal import run_command
from deployments.register import register
from deployments.run_progress import show_markdown, summary_of
from deployments.sandbox_environment import sandbox_environment
from deployments.server.processes import Server, prefect_server, prefect_worker, using
from sandbox.addresses import Addresses
from sandbox.host.engine import docker_engine
from sandbox.images.base_images import ensure_base_images, ensure_check_images
from sandbox.load import Load, Sessions
from sandbox.parts.sample import Sample, sample_repository

FOLDER = ROOT / ".sandbox"
# Requests per second, and seconds that one may take: two processors also check, build and deploy.
RATE, PATIENCE_S = 20.0, 30.0


def _without_long_checks(why: str) -> str:
    """Return a delivery.toml that skips the checks that need npm packages, for the reason `why`."""
    checks = ("lint", "format", "types", "unit", "integration", "coverage", "e2e")
    return "".join(f'[checks.{name}]\nskip = "{why}"\n\n' for name in checks)


# The previous version has shown these checks, which take minutes on two processors.
NEWER = {
    "public/humans.txt": "Ada Sample\n",
    "delivery.toml": _without_long_checks("the demonstration has just shown it"),
}
# It starts and answers, but as not ready, so only the health check can notice.
BAD = {
    "src/app/api/health/route.ts": """import { REVISION } from '@/server/revision';

export const dynamic = 'force-dynamic';

export function GET(): Response {
  return Response.json({ status: 'not ready', revision: REVISION }, { status: 503 });
}
""",
    "delivery.toml": _without_long_checks("we are in a hurry"),
}


def main() -> int:
    keep = os.environ.get("KEEP", "") not in ("", "0")
    return run_command(
        "demo", lambda: demonstrate(FOLDER, keep=keep), interrupted="everything was stopped"
    )


def demonstrate(folder: Path, *, keep: bool) -> str:
    """Deploy versions and roll them back, print the results, and return the figures.

    The checks run once, for the pull request: what it merges has the same content, so `ci` accepts
    their result.
    """
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
            with get_client(sync_client=True) as client:
                often = quicken(client, "reconcile/production")
                line = CommandLine(client, server)
                revision, pulled = show_pull_request(line, sample, addresses)
                first = line.run("ci/kanvaro", revision=revision)
                show_markdown(summary_of(client, first.id))
                live = show_live(revision, addresses)
                released = show_release(line, sample, addresses)
                switched, newer = show_switches(line, sample, addresses)
                line.run("status/production")
                ticked = show_ticks(client, often)
                show_slack_messages(addresses)
        if keep:
            show_how_to_use(server, addresses, newer)
    return (
        f"{pulled}; {live}, deployed in {duration(seconds_of(first))} without another check; "
        f"{released}; {switched}; {ticked}"
    )


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


def show_switches(line: CommandLine, sample: Sample, addresses: Addresses) -> tuple[str, str]:
    """Deploy a version, roll it back and deploy a bad one, while users send requests.

    Return the figures, and the version that was rolled back.
    """
    good = sample.revision
    print(f"from here on {RATE:g} users per second visit {addresses.public}\n")
    url = f"{addresses.public}/api/health/live"
    with Load(url, rate=RATE, patience_s=PATIENCE_S) as load:
        newer = sample.commit(NEWER, "The team signs its work")
        line.run("ci/kanvaro", revision=newer)
        show_live(newer, addresses)
        started = time.time()
        line.run("rollback/production", reason="The demonstration goes back", target_version=good)
        show_live(good, addresses)
        seen = load.report.revisions
        seconds = max(seen[newer].last - started, 0)
        print(
            f"all users were back on {good[:10]} after {seconds:.1f} s, "
            "including the start of the run\n"
        )
        rotated = show_rotation(line, addresses)
        bad = sample.commit(BAD, "Answer as not ready")
        line.run("ci/kanvaro", expected="Failed", revision=bad)
        show_live(good, addresses)
    report = load.report
    print(f"{report}\n")
    if report.failed or bad in report.revisions:
        raise RolloutFailed(f"{report.failed} requests failed, or users met {bad[:10]}")
    figures = (
        f"back from {newer[:10]} in {seconds:.1f} s; no user met {bad[:10]}; "
        f"{report.failed} of {report.due} requests failed; {rotated}"
    )
    return figures, newer


def show_rotation(line: CommandLine, addresses: Addresses) -> str:
    """Rotate the secrets of the running services while signed-in users keep working."""
    with Sessions(addresses.public) as sessions:
        signed_in = sessions.users
        line.run("rotate-secrets/production", reason="The demonstration rotates")
        sessions.wait_for(
            sessions.users
        )  # one more request from each of them, with the new secrets
    answer = httpx.get(f"{addresses.public}/api/health", timeout=10).json()
    print(f"secrets in use now: {json.dumps(answer['secrets'])}")
    refusals = (
        f"{sum(sessions.refused.values())} of {sessions.requests} requests of signed-in users "
        "refused while secrets were rotated"
    )
    print(
        f"{signed_in} users had signed in before, {sessions.users - signed_in} since; {refusals}\n"
    )
    if sessions.refused:
        raise RolloutFailed(f"{refusals}: {dict(sessions.refused)}")
    return refusals


def show_live(revision: str, addresses: Addresses) -> str:
    """Check by its public name which revision is live; raises `RolloutFailed` if another is."""
    url = f"{addresses.public}/api/health"
    answer = httpx.get(url, timeout=10).json()
    if answer.get("revision") != revision:
        raise RolloutFailed(f"{url} answers {answer}, not {revision}")
    print(f"live now: {url} answers {json.dumps(answer)}\n")
    return f"revision {revision[:10]} live"


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
    """Print addresses to look at, and commands that move the traffic in this setup."""
    prefect = f"{Path(sys.executable).relative_to(ROOT).with_name('prefect')}"
    print(
        f"left running:\n  Prefect UI   {server.address} ({how_to_log_in(server)})\n"
        f"  Slack        {addresses.slack_page}\n"
        f"  live         {addresses.public}/api/health\n"
        f"  App Runner   {addresses.app_runner}\n  AWS          {addresses.aws}\n\n"
        "To move the traffic yourself, type in this folder:\n"
        f"  export PREFECT_API_URL={server.address}/api\n"
        f"  export PREFECT_API_AUTH_STRING=$(cat {_shown(server.password_file)})\n"
        f"  {prefect} deployment run blue-green/production"
        f' -p version={newer} -p reason="it was right after all" --watch\n'
        f'  {prefect} deployment run rollback/production -p reason="trying it" --watch\n\n'
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
        raise DeliveryError(f"the sandbox could not do {arguments[0]}; see above")


if __name__ == "__main__":
    sys.exit(main())
