"""Start what all measurements share: the sandbox, a Prefect server and worker, two applications.

It is like the demonstration, but in a folder of its own; the time until the worker finds a run is
not measured.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from docker.errors import ImageNotFound
from prefect.client.orchestration import SyncPrefectClient, get_client

from benchmarks import trivial
from blocks.environment import Environment
from delivery.errors import ConfigurationError
from deployments import ROOT
from deployments.demo.demo import prepare_images, preview_of, running_sandbox, step
from deployments.register import register
from deployments.sandbox_environment import sandbox_environment
from deployments.server.processes import Server, prefect_server, prefect_worker, using
from sandbox.addresses import Addresses
from sandbox.host.engine import docker_engine
from sandbox.parts.sample import Sample, sample_repository
from tasks.workspace.program_environment import program_environment

FOLDER = ROOT / ".sandbox" / "bench"
CACHE = FOLDER / "workshop" / "cache"
SAMPLE, TRIVIAL = "production", "trivial"  # names of their environments


@dataclass(frozen=True)
class Stage:
    """Everything that runs during the measurements."""

    folder: Path
    addresses: Addresses
    environment: Environment
    client: SyncPrefectClient
    sample: Sample
    trivial: Sample

    def variables(self, home: Path) -> dict[str, str]:
        """Return the environment that the flow gives to programs; plain.mk uses it, too."""
        return program_environment(home, CACHE)


@contextmanager
def stage() -> Iterator[Stage]:
    """Start everything, without results of an earlier run; stop everything at the end."""
    _forget_earlier_runs()
    with ExitStack() as stack:
        # Images are removed last, since the sandbox's containers use them.
        images = stack.enter_context(ExitStack())
        addresses = stack.enter_context(running_sandbox(FOLDER, keep=False))
        images.callback(_remove_images, addresses.registry)
        with step("Prefect server, blocks, deployments, worker"):
            sample = sample_repository(FOLDER / "kanvaro")
            prepare_images(preview_of(sample, FOLDER))
            server = stack.enter_context(prefect_server(FOLDER))
            stack.enter_context(using(server))
            small = trivial.repository(FOLDER / "trivial")
            environments = {
                name: _environment(name, application, server)
                for name, application in ((SAMPLE, sample), (TRIVIAL, small))
            }
            register(environments, say=lambda _: None)
            stack.enter_context(prefect_worker(FOLDER, server))
            client = stack.enter_context(get_client(sync_client=True))
        ready = Stage(FOLDER, addresses, environments[SAMPLE], client, sample, small)
        with step("caches warmed: npm packages and image layers of the sample application"):
            _warm(ready)
        yield ready


def _environment(name: str, application: Sample, server: Server) -> Environment:
    """Return an application's environment, with one service, so that every change is an update."""
    environment = sandbox_environment(
        FOLDER, repository=str(application.folder), name=name, ui_address=server.address
    )
    # plain.mk updates one service in place, so the flow does the same here.
    environment.strategy, environment.public_address = "in-place", None
    # The upload to Codecov is not among the compared commands.
    environment.codecov_token = None
    return environment


def _forget_earlier_runs() -> None:
    """Remove everything but the package cache, which is warm for both sides."""
    for left in (*FOLDER.glob("*"), *(FOLDER / "workshop").glob("*")):
        if left.is_dir() and left not in (CACHE, CACHE.parent):
            shutil.rmtree(left)


def _warm(stage: Stage) -> None:
    checkout = stage.folder / "warming"
    variables = stage.variables(stage.folder / "warming-home")
    for command in (
        ["git", "clone", "--quiet", str(stage.sample.folder), str(checkout)],
        ["npm", "--prefix", str(checkout), "ci"],
        ["docker", "build", "--quiet", "--target", "dependencies", str(checkout)],
    ):
        result = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        if result.returncode:
            tail = "\n".join(result.stderr.splitlines()[-10:])
            raise ConfigurationError(f"`{' '.join(command)}` failed:\n{tail}")
    shutil.rmtree(checkout)


def _remove_images(registry: str) -> None:
    """Remove this sandbox's image names from the engine; layers stay for the next time."""
    with closing(docker_engine().client()) as client:
        for image in client.images.list(filters={"reference": f"{registry}/*"}):
            # App Runner's emulator pulls by digest, which leaves a name without a tag.
            for name in (*image.tags, *image.attrs["RepoDigests"]):
                if name.startswith(f"{registry}/"):
                    with suppress(ImageNotFound):  # its digest was removed with its tag
                        client.images.remove(name, noprune=True)
