"""Run the sandbox from a terminal: in the foreground, or detached for the Makefile.

python -m sandbox                   until Ctrl-C
python -m sandbox --detach          in the background; returns when it is ready
                  --with-stdin      and ends when standard input is closed, for any reason
python -m sandbox --stop
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NoReturn

from delivery.errors import DeliveryError
from sandbox import addresses, lock
from sandbox.addresses import Addresses
from sandbox.parts import lifeline
from sandbox.parts.errors import SandboxPartFailed
from sandbox.usage import usage

_OURSELVES = (sys.executable, "-m", "sandbox")
_ROOT = Path(__file__).parent.parent
SECONDS_TO_STOP = 60
_LOOK_EVERY = 0.1
_CHECK_EVERY = 2.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.stop:
            return _stop(chosen.folder)
        if chosen.detach:
            return _detach(chosen.folder, chosen.speed, chosen.wait, chosen.with_stdin)
        return _run(chosen.folder, chosen.speed, chosen.quiet)
    except DeliveryError as error:
        print(f"{error}\n{error.hint}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"The sandbox cannot work here: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__.split("\n")[0])
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--detach", action="store_true", help="run in the background")
    how.add_argument("--stop", action="store_true", help="stop the running sandbox")
    parser.add_argument(
        "--with-stdin", action="store_true", help="end a detached sandbox when stdin is closed"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(".sandbox"), help="folder for its files"
    )
    parser.add_argument(
        "--speed", type=_positive, default=100.0, help="how much faster than AWS App Runner is"
    )
    parser.add_argument(
        "--wait",
        type=_positive,
        default=300.0,
        help="seconds to wait until a detached sandbox is ready",
    )
    parser.add_argument("--quiet", action="store_true", help="do not print how to use it")
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be more than 0")
    return number


def _run(folder: Path, speed: float, quiet: bool) -> int:
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    from sandbox.start import Sandbox  # an import that takes seconds, which --stop does not need

    try:
        print("Starting the sandbox:", file=sys.stderr, flush=True)
        with Sandbox(folder, speed=speed) as sandbox:
            if not quiet:
                print(usage(sandbox.addresses, folder), flush=True)
            while True:
                time.sleep(_CHECK_EVERY)
                sandbox.aws.check()
                sandbox.edge.check()
    except KeyboardInterrupt:
        print("The sandbox has stopped.", file=sys.stderr)
        return 0


def _interrupt(number: int, frame: object) -> NoReturn:
    """Start an orderly stop; a second signal does not shorten it."""
    for known in _SIGNALS:
        signal.signal(known, lambda *_: print("Still stopping …", file=sys.stderr))
    raise KeyboardInterrupt


def _detach(folder: Path, speed: float, patience: float, with_stdin: bool) -> int:
    if running := lock.holder(folder):
        print(f"A sandbox already runs in {folder} (process {running}).", file=sys.stderr)
        _await_addresses(folder, running, None, patience)
    else:
        _launch(folder, speed, patience, with_stdin)
    print(usage(Addresses.read(folder), folder))
    return 0


def _launch(folder: Path, speed: float, patience: float, with_stdin: bool) -> None:
    options = ["--quiet", "--folder", str(folder.resolve()), "--speed", str(speed)]
    bound = lifeline.command("sandbox", *options, seconds=SECONDS_TO_STOP)
    folder.mkdir(parents=True, exist_ok=True)
    addresses.forget(folder)
    log = folder / "sandbox.log"
    with log.open("wb") as writing, log.open() as reading:
        program = subprocess.Popen(
            bound if with_stdin else [*_OURSELVES, *options],
            stdin=None if with_stdin else subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.STDOUT,
            cwd=_ROOT,
            start_new_session=True,
        )
        try:
            _await_addresses(folder, program.pid, reading, patience, program)
        except BaseException:
            program.terminate()
            program.wait()
            raise


def _await_addresses(
    folder: Path,
    process: int,
    log: IO[str] | None,
    patience: float,
    program: subprocess.Popen[bytes] | None = None,
) -> None:
    """Wait until the process has written its addresses, and show its log meanwhile."""
    deadline = time.monotonic() + patience
    while not addresses.written(folder):
        _show(log)
        ended = program.poll() is not None if program else lock.holder(folder) != process
        if ended:
            _show(log)
            raise SandboxPartFailed(f"The sandbox (process {process}) ended before it was ready.")
        if time.monotonic() > deadline:
            raise SandboxPartFailed(f"The sandbox was not ready after {patience:g} s.")
        time.sleep(_LOOK_EVERY)
    _show(log)


def _show(log: IO[str] | None) -> None:
    if log:
        print(log.read(), end="", file=sys.stderr, flush=True)


def _stop(folder: Path) -> int:
    process = lock.stop(folder)
    _tidy(folder)
    if process is None:
        print(f"No sandbox runs in {folder}.", file=sys.stderr)
    else:
        print(f"Stopped the sandbox in {folder} (process {process}).", file=sys.stderr)
    return 0


def _tidy(folder: Path) -> None:
    """Remove what a killed sandbox left: its files, containers and network."""
    if not addresses.written(folder):
        return
    from sandbox.databases.databases import clear

    clear(folder)
    addresses.forget(folder)


if __name__ == "__main__":
    sys.exit(main())
