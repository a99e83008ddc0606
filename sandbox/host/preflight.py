"""Look for all that a command needs, before anything is set up or started.

    python3 -m sandbox.host.preflight git node engine chromium

What is missing and may be installed is installed, after all has been looked at. What may not be is
named, all of it at once, and nothing is changed. It needs the standard library only, and so runs
before `make` has set up an environment.
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from delivery.errors import ConfigurationError, DeliveryError
from sandbox.host.engine_hosts import chosen_is_silent, may_not_start, silence_of, usual_hosts
from sandbox.host.machine import Machine, ensure_node, exit_code, say

ENGINE, NODE, VENV = "engine", "node", "python3-venv"
ROOT = Path(__file__).parents[2]
# The folder of the engine's images, where an engine runs on this machine.
ENGINE_DATA = Path("/var/lib/docker")
# Images, packages and caches of the sample application's first run on a bare machine.
GB_NEEDED = 6
GB = 1e9


def refusals(names: Sequence[str], machine: Machine) -> Iterator[DeliveryError]:
    """Yield an error for each thing of `names` that is missing and may not be had here."""
    if refusal := machine.refusal(_missing(names, machine)):
        yield refusal
    if NODE in names and (missing := _no_node()):
        yield missing
    if ENGINE in names and (silent := _no_engine(machine)):
        yield silent
    yield from _full_disks(ENGINE in names)


def prepare(names: Sequence[str], machine: Machine | None = None) -> None:
    """Install those of `names` that are missing; raises the first error after saying the others.

    Nothing is installed if anything is missing that may not be.
    """
    machine = machine or Machine()
    if found := list(refusals(names, machine)):
        for error in found[:-1]:
            say(f"error: {error}\n  hint: {error.hint}")
        raise found[-1]
    for name in _missing(names, machine):
        machine.ensure(name)
    if ENGINE in names and _silences():
        machine.ensure("docker")


def _missing(names: Sequence[str], machine: Machine) -> list[str]:
    has_venv = importlib.util.find_spec("ensurepip") is not None
    there = {ENGINE, NODE, *([VENV] if has_venv else [])}
    return [name for name in names if name not in there and machine.find(name) is None]


def _no_node() -> DeliveryError | None:
    try:
        ensure_node()
    except ConfigurationError as error:
        return error
    return None


def _no_engine(machine: Machine) -> DeliveryError | None:
    failures = _silences()
    if not failures:
        return None
    if chosen := os.environ.get("DOCKER_HOST"):
        return chosen_is_silent(chosen, failures[chosen])
    no_program = [] if machine.find("docker") else ["docker"]
    return may_not_start(failures, machine) or machine.refusal(no_program)


def _silences() -> dict[str, str]:
    """Return why each address of an engine is silent; nothing if one of them answers."""
    failures: dict[str, str] = {}
    chosen = os.environ.get("DOCKER_HOST")
    for host in [chosen] if chosen else usual_hosts():
        why = silence_of(host)
        if why is None:
            return {}
        failures[host] = why
    return failures


def _full_disks(with_engine: bool) -> Iterator[DeliveryError]:
    seen = set()
    for folder in [ROOT, *([ENGINE_DATA] if with_engine else [])]:
        there = next(each for each in (folder, *folder.parents) if each.exists())
        free, device = shutil.disk_usage(there).free, there.stat().st_dev
        if free < GB_NEEDED * GB and device not in seen:
            yield ConfigurationError(
                f"{free / GB:.1f} GB are free on the disk of {there}, and the images and packages "
                f"of a first run need {GB_NEEDED} GB.",
                hint="Free some of it (`docker system df` shows what images take), then run again.",
            )
        seen.add(device)


def main(names: Sequence[str]) -> int:
    """Prepare what `names` say; return 1 if something is missing."""
    return exit_code(lambda: prepare(names))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
