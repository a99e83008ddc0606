"""Run Debian's redis-server as a process of this machine, with its users in an ACL file."""

import secrets
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox.host.machine import ensure
from sandbox.parts.errors import SandboxPartFailed
from sandbox.parts.part import Part
from sandbox.parts.ports import LOOPBACK, free_port

ADMINISTRATOR = "root"
_SECONDS_TO_START = 10.0
_SECONDS_TO_STOP = 5.0
_LOOK_EVERY = 0.02
_STARTS = 5


class RedisNode(Part):
    """A Redis on the loopback address while it is entered; only users of its ACL file can log in.

    `users` are lines of that file, such as `user kanvaro_a on >secret ~kanvaro:* &* +@all
    -@dangerous`; an administrator `root` is added. A restart keeps users but no keys. Raises
    SandboxPartFailed if it is not ready within 10 seconds.
    """

    host = LOOPBACK

    def __init__(self, *users: str, replica_of: "RedisNode | None" = None) -> None:
        self._users = users
        self._primary = replica_of
        # Replicas log in at their primary as its administrator.
        self._password: str = replica_of._password if replica_of else secrets.token_urlsafe(24)
        self._program: subprocess.Popen[bytes] | None = None
        self._folder = Path()
        self.port = 0

    @property
    def admin_uri(self) -> str:
        return f"redis://{ADMINISTRATOR}:{self._password}@{self.host}:{self.port}"

    @property
    def acl_file(self) -> str:
        """Return the ACL file, which holds the users after a restart."""
        return self._acl.read_text()

    @property
    def _acl(self) -> Path:
        return self._folder / "users.acl"

    @property
    def _log(self) -> Path:
        return self._folder / "redis.log"

    def restart(self) -> None:
        """Kill it and start it again, so that unsaved changes are lost."""
        self._kill()
        self._launch()

    def _start(self, stack: ExitStack) -> None:
        folder = TemporaryDirectory(prefix="kanvaro-sandbox-redis-")
        self._folder = Path(stack.enter_context(folder))
        root = f"user {ADMINISTRATOR} on >{self._password} ~* &* +@all"
        self._acl.write_text("\n".join(["user default off", root, *self._users]) + "\n")
        stack.callback(self._kill)
        for start in range(_STARTS):
            self.port = free_port()
            try:
                return self._launch()
            except SandboxPartFailed as failure:
                self._kill()
                if "Address already in use" not in str(failure) or start == _STARTS - 1:
                    raise
        return None

    def _launch(self) -> None:
        with self._log.open("wb") as log:
            self._program = subprocess.Popen(
                [ensure("redis-server"), "-"],
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        # By standard input, so that the process list shows no password.
        assert self._program.stdin  # noqa: S101 - narrows the type
        self._program.stdin.write("\n".join(self._settings()).encode())
        self._program.stdin.close()
        deadline = time.monotonic() + _SECONDS_TO_START
        while "Ready to accept connections" not in (text := self._log.read_text(errors="replace")):
            if self._program.poll() is not None or time.monotonic() > deadline:
                last = "\n".join(text.splitlines()[-5:])
                raise SandboxPartFailed(f"redis-server did not start. Its last lines:\n{last}")
            time.sleep(_LOOK_EVERY)

    def _settings(self) -> list[str]:
        settings = [f"bind {self.host}", f"port {self.port}", 'save ""', f"aclfile {self._acl}"]
        if self._primary:
            settings += [
                f"replicaof {self._primary.host} {self._primary.port}",
                f"masteruser {ADMINISTRATOR}",
                f"masterauth {self._password}",
            ]
        return settings

    def _kill(self) -> None:
        if self._program:
            self._program.kill()
            self._program.wait(_SECONDS_TO_STOP)
            self._program = None
