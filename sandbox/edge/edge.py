"""Emulate CloudFront: a Node program that serves the public name.

For each request it runs the real file of the route function against the emulated account's key
value store, and forwards the request to the origin that the function chose.

Differences from AWS: plain HTTP on a loopback port; nothing is cached; nearly all viewers have one
address (127.0.0.1); the limits of a function (1 ms, 2 MB) do not apply; a function may not change
the method, path, query or cookies of a request (502), which AWS allows; the viewer-response event
contains the request as the viewer-request event left it, on which AWS's documentation is silent.
"""

import json
import os
import select
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from sandbox.edge.control_endpoint import ControlEndpoint
from sandbox.edge.distribution import FUNCTION_FILE, Distribution
from sandbox.parts import lifeline
from sandbox.parts.errors import SandboxPartFailed
from sandbox.parts.part import Part

_PROGRAM = Path(__file__).with_name("edge.mjs")
_READY_SECONDS = 30.0
_STOP_SECONDS = 5.0
_LONGEST_LOG = 64 * 1024


class Edge(Part):
    """Serves `distribution` of the account at `aws_endpoint` on a free port while it is entered.

    `url` is the public name, `control_url` the control endpoint's address. Connections are
    distributed over `locations`; each location gets a change within `set_propagation` seconds,
    drawn from `seed`. An origin may be silent for `origin_patience_s`, as for CloudFront's 30 s.
    Raises SandboxPartFailed if Node is missing or the program does not start.
    """

    def __init__(
        self,
        aws_endpoint: str,
        distribution: Distribution,
        *,
        locations: int = 3,
        seed: int = 1,
        origin_patience_s: float = 30.0,
        function: Path = FUNCTION_FILE,
    ) -> None:
        self._settings = {
            "endpoint": aws_endpoint,
            "store": distribution.store_arn,
            "distribution": distribution.id,
            "function": str(function.resolve()),
            "locations": locations,
            "seed": seed,
            "origin_patience_s": origin_patience_s,
        }
        self._program: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self.url = ""
        self.control_url = ""

    @property
    def pid(self) -> int | None:
        return self._program.pid if self._program else None

    @property
    def requests(self) -> dict[str, Any]:
        """Return the counts of requests served so far; see `ControlEndpoint.state`."""
        return self.control_endpoint.requests

    @property
    def control_endpoint(self) -> ControlEndpoint:
        return ControlEndpoint(self.control_url)

    def set_propagation(self, seconds: float) -> None:
        """Delay each later change by up to `seconds` at each location."""
        self.control_endpoint.set_propagation(seconds)

    def fail_store(self, fails: bool = True) -> None:
        """Make the function's reads of the key value store fail, or succeed again."""
        self.control_endpoint.fail_store(fails)

    def check(self) -> None:
        """Raise SandboxPartFailed if the edge has ended by itself."""
        if self._program and self._program.poll() is not None:
            raise SandboxPartFailed(f"The edge has ended. Its last lines:\n{self._last_lines()}")

    def _start(self, stack: ExitStack) -> None:
        # A file without a name disappears with this process, however it ends.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - the stack closes it
        stack.callback(self._errors.close)
        command = ["node", "--no-warnings", "--experimental-vm-modules", str(_PROGRAM)]
        try:
            self._program = subprocess.Popen(
                [*command, json.dumps(self._settings)],
                # The program ends when this pipe closes, as other parts do by lifeline.py.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C reaches only us; we stop the parts in order
            )
        except FileNotFoundError as error:
            raise SandboxPartFailed("The edge needs Node 20 or newer on PATH.") from error
        stack.callback(self._end, self._program)
        ports = self._first_line()
        self.url = f"http://127.0.0.1:{ports['public']}"
        self.control_url = f"http://127.0.0.1:{ports['control']}"

    def _first_line(self) -> dict[str, int]:
        assert self._program  # noqa: S101 - narrows the type
        assert self._program.stdout  # noqa: S101 - narrows the type
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            if select.select([self._program.stdout], [], [], 0.1)[0]:
                line = self._program.stdout.readline()
                if not line:
                    break
                ports: dict[str, int] = json.loads(line)
                return ports
        raise SandboxPartFailed(f"The edge did not start. Its last lines:\n{self._last_lines()}")

    def _end(self, program: subprocess.Popen[bytes]) -> None:
        lifeline.end(program, _STOP_SECONDS)
        if program.stdout:
            program.stdout.close()
        self._program = None

    def _last_lines(self, count: int = 15) -> str:
        if self._errors is None:
            return ""
        # Not seek and read: the program writes at the file's only position.
        text = os.pread(self._errors.fileno(), _LONGEST_LOG, 0).decode(errors="replace")
        return "\n".join(text.splitlines()[-count:])
