"""The sandbox's CloudFront: a Node program that serves the public name.

For each request it runs the route function's very file against the emulated account's key value
store, and passes the request on to the origin that the function chose.

Differences from AWS: plain HTTP on a loopback port; nothing is cached; one address (127.0.0.1) for
nearly all viewers; the limits of a function (1 ms, 2 MB) do not hold; a function may not change the
method, path, query or cookies of a request (502), which AWS allows; the viewer-response event
shows the request as the viewer-request event left it, on which AWS's documentation is silent.
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

    `url` is the public name, `control_url` the control endpoint's. Connections are spread over so
    many
    `locations`; each learns of a change within `set_propagation` seconds, drawn from `seed`.
    An origin may be silent for `origin_patience_s`, as CloudFront's 30 s.
    Raises SandboxPartFailed when Node is missing or the program does not start.
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
        """From now on, let each location learn of a change up to `seconds` later."""
        self.control_endpoint.set_propagation(seconds)

    def fail_store(self, fails: bool = True) -> None:
        """Let the function's reads of the key value store fail, or no longer."""
        self.control_endpoint.fail_store(fails)

    def check(self) -> None:
        """Raise SandboxPartFailed when the edge has ended by itself."""
        if self._program and self._program.poll() is not None:
            raise SandboxPartFailed(f"The edge has ended. Its last lines:\n{self._last_lines()}")

    def _start(self, stack: ExitStack) -> None:
        # Without a name, so that it goes with us however we end.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - the stack closes it
        stack.callback(self._errors.close)
        command = ["node", "--no-warnings", "--experimental-vm-modules", str(_PROGRAM)]
        try:
            self._program = subprocess.Popen(
                [*command, json.dumps(self._settings)],
                # It ends when this pipe does, as other parts do by lifeline.py.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C is for us; we stop our parts in order
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
        # Not seek and read: the program writes where the file's one position is.
        text = os.pread(self._errors.fileno(), _LONGEST_LOG, 0).decode(errors="replace")
        return "\n".join(text.splitlines()[-count:])
