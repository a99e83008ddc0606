"""Find the docker program of this worker, and the environment in which it builds.

It gets a configuration of its own: no login, proxy, builder or context of the worker's user, and of
the worker's variables only those that `program_environment` passes on.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from docker import DockerClient

from blocks.environment import Environment
from delivery.platform.docker_build import DockerProgram, why_not
from tasks.workspace.program_environment import program_environment

DEFAULT_HOST = "unix:///var/run/docker.sock"
TO_ANSWER_S = 30
# Where the user of the worker may have installed buildx; a folder of programs, not of settings.
PLUGINS = Path(".docker/cli-plugins")
_TLS = ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")


class Builder(NamedTuple):
    """The docker program that builds with BuildKit; empty where none does, and then `why_not`."""

    program: str
    why_not: str = ""


def docker_environment(environment: Environment, home: Path, cache: Path) -> dict[str, str]:
    """Make the program's own folders below `home`, and return its environment."""
    settings = home / "docker"
    variables = program_environment(home, cache)
    settings.mkdir(mode=0o700, exist_ok=True)
    plugins = {"cliPluginsExtraDirs": [str(Path.home() / PLUGINS)]}
    (settings / "config.json").write_text(json.dumps({"auths": {}, **plugins}))
    return {
        **variables,
        **_engine_of(environment),
        "DOCKER_CONFIG": str(settings),
        "DOCKER_BUILDKIT": "1",
        "DOCKER_CLI_HINTS": "false",
        # An image in ECR is one manifest, whichever program built it.
        "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
        "BUILDKIT_COLORS": "",
    }


def find_builder(
    environment: Environment, client: DockerClient, variables: Mapping[str, str]
) -> Builder:
    """Return the first docker program on the worker's PATH that can build with BuildKit."""
    if environment.docker.client_kwargs.get("tls"):
        return Builder("", "the block `docker` has TLS settings that only a library can take")
    if product := _other_product(client):
        return Builder("", f"the engine is {product}, which has no BuildKit")
    reasons = []
    for folder in dict.fromkeys(variables.get("PATH", os.defpath).split(os.pathsep)):
        program = Path(folder, "docker")
        if folder and os.access(program, os.X_OK) and program.is_file():
            found = DockerProgram(str(program), _answer([str(program), "--version"], variables)[1])
            if not (why := _why_unfit(found, variables)):
                return Builder(found.path)
            reasons.append(f"{program}: {why}")
    return Builder("", why_not(reasons))


def _why_unfit(program: DockerProgram, variables: Mapping[str, str]) -> str:
    if program.needs_buildx and not _answer([program.path, "buildx", "version"], variables)[0]:
        return f"{program.version or 'it does not start'} has no plugin buildx"
    # Also whether it and the engine have a version of the API in common.
    asked = [program.path, "version", "--format", "{{.Server.Version}}"]
    reaches, answer = _answer(asked, variables)
    return "" if reaches else f"it does not reach the engine: {answer}"


def _answer(argv: list[str], variables: Mapping[str, str]) -> tuple[bool, str]:
    """Return whether a program succeeded, and the last line that it wrote."""
    try:
        done = subprocess.run(
            argv,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TO_ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, type(error).__name__
    lines = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()
    return done.returncode == 0, lines[-1] if lines else ""


def _other_product(client: DockerClient) -> str:
    """Return the name of an engine that is not Docker's; empty for Docker's own."""
    parts = client.version().get("Components") or []
    name = str(parts[0].get("Name", "")) if parts else ""
    return "" if name in ("", "Engine") else name


def _engine_of(environment: Environment) -> dict[str, str]:
    """Return the variables by which the program reaches the engine that the library reaches."""
    if environment.docker.base_url:
        return {"DOCKER_HOST": environment.docker.base_url}
    tls = {name: os.environ[name] for name in _TLS if os.environ.get(name)}
    return {"DOCKER_HOST": os.environ.get("DOCKER_HOST") or DEFAULT_HOST, **tls}
