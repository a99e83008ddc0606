"""Find the programs of this machine, and install missing ones where that is allowed.

Programs that exist are used. As root on Debian or Ubuntu missing ones are installed with apt-get,
with a message; `KANVARO_INSTALL=no` forbids that. Elsewhere the error names what to install.

    python -m sandbox.host.machine node docker chromium redis-server
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from delivery.errors import ConfigurationError, DeliveryError
from delivery.patience import Patience, wait_until
from delivery.printable import printable
from sandbox.host.needs import Need, need_of

Say = Callable[[str], None]

APT_LOCK = Path(tempfile.gettempdir()) / "kanvaro-apt.lock"
SECONDS_FOR_THE_LOCK = 600.0
SECONDS_FOR_DPKG_LOCK = 180
SECONDS_FOR_APT = 900.0
SECONDS_FOR_AN_ANSWER = 20.0
OLDEST_NODE = 20

_APT_PATIENCE = ("-o", f"DPkg::Lock::Timeout={SECONDS_FOR_DPKG_LOCK}")


def say(line: str) -> None:
    """Print a line for the person at the terminal; standard output is for a command's result."""
    print(printable(line), file=sys.stderr, flush=True)


def _run(argv: Sequence[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    try:
        subprocess.run(
            argv,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            timeout=SECONDS_FOR_APT,
        )
    except subprocess.CalledProcessError as failure:
        last = "; ".join(str(failure.stdout).strip().splitlines()[-3:])
        raise ConfigurationError(
            f"`{' '.join(argv)}` failed ({failure.returncode}): {last}",
            hint="Mend the package manager (try the same command by hand), then run again.",
        ) from None
    except subprocess.TimeoutExpired:
        raise ConfigurationError(
            f"`{' '.join(argv)}` did not end within {SECONDS_FOR_APT:g} s.",
            hint="See what holds the package manager (`ps -ef | grep apt`), then run again.",
        ) from None


def _answers(program: Path) -> bool:
    try:
        version_call = subprocess.run(
            [program, "--version"],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS_FOR_AN_ANSWER,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return version_call.returncode == 0


def _distribution() -> str:
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return "other"
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    names = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()
    return next((name for name in ("ubuntu", "debian") if name in names), "other")


@dataclass
class Machine:
    """One machine: its distribution (`debian`, `ubuntu` or `other`) and what we may do on it."""

    distribution: str = field(default_factory=_distribution)
    is_root: bool = field(default_factory=lambda: os.geteuid() == 0)
    may_install: bool = field(
        default_factory=lambda: os.environ.get("KANVARO_INSTALL", "").lower() not in ("no", "0")
    )
    which: Callable[[str], str | None] = shutil.which
    run: Callable[[Sequence[str]], None] = _run
    answers: Callable[[Path], bool] = _answers
    lock: Path = APT_LOCK
    _is_updated: bool = field(default=False, init=False)

    def find(self, name: str) -> Path | None:
        """Return the program that meets the need `name`, or None; raises for an unknown need."""
        need = need_of(name)
        if need.override and (chosen := os.environ.get(need.override)):
            if not self.answers(Path(chosen)):
                raise ConfigurationError(
                    f"{need.override}={chosen} does not answer --version.",
                    hint=f"Set {need.override} to a working {name}, or unset it.",
                )
            return Path(chosen)
        found = (Path(path) for program in need.programs if (path := self.which(program)))
        outside_path = (
            path for glob in need.globs for path in sorted(Path("/").glob(glob.lstrip("/")))
        )
        candidates = [*found, *outside_path]
        return next((one for one in candidates if not need.must_answer or self.answers(one)), None)

    def ensure(self, name: str, say: Say = say) -> Path:
        """Return the program that meets the need `name`; install it if that is allowed.

        Raises `ConfigurationError` if it is missing and cannot or may not be installed.
        """
        if found := self.find(name):
            return found
        packages = self._installable(need_of(name))
        with locked(self.lock, "another installation by Kanvaro"):
            if found := self.find(name):  # another process has just installed it
                return found
            say(f"installing {name} with apt-get (set KANVARO_INSTALL=no to refuse)")
            self._install(packages)
        if found := self.find(name):
            return found
        raise ConfigurationError(
            f"{', '.join(packages)} was installed, but no working {name} came with it.",
            hint=need_of(name).by_hand or "Install it by hand, then run again.",
        )

    def _installable(self, need: Need) -> tuple[str, ...]:
        if refusal := self.refusal([need.name]):
            raise refusal
        return self._packages(need)

    def refusal(self, names: Sequence[str]) -> ConfigurationError | None:
        """Return an error about those of the missing `names` that may not be installed, if any."""
        groups: dict[str, list[Need]] = {}
        for need in map(need_of, names):
            if why := self._why_not(need):
                groups.setdefault(why, []).append(need)
        if not groups:
            return None
        sentences = (
            f"{_listed(need.name for need in needs)} {'is' if len(needs) == 1 else 'are'} missing, "
            f"and {why}"
            for why, needs in groups.items()
        )
        refused = [need for needs in groups.values() for need in needs]
        return ConfigurationError(f"{'; '.join(sentences)}.", hint=self._what_to_install(refused))

    def _what_to_install(self, needs: Sequence[Need]) -> str:
        by_package = needs if self.distribution != "other" else ()
        packages = [package for need in by_package for package in self._packages(need)]
        command = f"apt-get install {' '.join(packages)}"
        what = "it" if len(needs) == 1 else "them"
        by_apt = f"Install {what} (`{command}`)." if self.is_root else f"Run `sudo {command}`."
        others = (
            need.by_hand or f"Install {need.name}."
            for need in needs
            if self.distribution == "other" or not self._packages(need)
        )
        return " ".join([*([by_apt] if packages else []), *others])

    def _why_not(self, need: Need) -> str | None:
        """Return why `need` may not be installed, or None."""
        if self.distribution == "other":
            return "this is not Debian or Ubuntu"
        if not self._packages(need):
            return "Ubuntu offers it only as a snap"
        if not self.is_root:
            return "we are not root"
        return None if self.may_install else "KANVARO_INSTALL=no refuses installing"

    def _packages(self, need: Need) -> tuple[str, ...]:
        return need.ubuntu if self.distribution == "ubuntu" else need.debian

    def update_package_lists(self) -> bool:
        """Refresh apt's package lists, once per process; return False where we may not do that."""
        if not self.is_root or not self.may_install or self.distribution == "other":
            return False
        if not self._is_updated:
            self.run(["apt-get", *_APT_PATIENCE, "-q", "update"])
            self._is_updated = True
        return True

    def _install(self, packages: Sequence[str]) -> None:
        self.update_package_lists()
        options = [*_APT_PATIENCE, "-q", "-y", "--no-install-recommends"]
        self.run(["apt-get", *options, "install", *packages])


@contextmanager
def locked(path: Path, holder: str, seconds: float = SECONDS_FOR_THE_LOCK) -> Iterator[None]:
    """Hold the file lock `path` of this machine; raises `TimedOut`, naming `holder`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        wait_until(
            lambda: _try_lock(descriptor),
            lambda is_ours: is_ours,
            Patience(timeout=seconds, interval=0.2),
            what=f"the lock {path} held by {holder}",
        )
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


THIS_MACHINE = Machine()


def ensure(name: str, say: Say = say) -> Path:
    """Call `Machine.ensure` on this machine."""
    return THIS_MACHINE.ensure(name, say)


@dataclass(frozen=True)
class Node:
    """Node.js on this machine; `version` as in `20.20.2`."""

    node: Path
    npm: Path
    version: str


def ensure_node(oldest: int = OLDEST_NODE) -> Node:
    """Return the Node.js of this machine; raises `ConfigurationError` if too old or missing.

    It is never installed: Debian's own is older than applications need.
    """
    hint = f"Install Node.js {oldest} or newer (it brings npm), for instance with nvm or fnm."
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise ConfigurationError(f"{'node' if not node else 'npm'} is missing.", hint=hint)
    version_call = subprocess.run(
        [node, "--version"], capture_output=True, text=True, timeout=SECONDS_FOR_AN_ANSWER
    )
    version = version_call.stdout.strip().removeprefix("v")
    major = version.split(".")[0]
    if not major.isdigit() or int(major) < oldest:
        raise ConfigurationError(
            f"Node.js {version or '(no answer)'} at {node} is older than {oldest}.", hint=hint
        )
    return Node(Path(node), Path(npm), version)


def exit_code(command: Callable[[], object]) -> int:
    """Run a command; if it fails, print its error and hint to standard error and return 1."""
    try:
        command()
    except DeliveryError as failure:
        say(f"error: {failure}\n  hint: {failure.hint}")
        return 1
    return 0


def main(names: Sequence[str]) -> int:
    """Ensure each of `names` (`node` included) and print its path; return 1 if one is missing."""

    def find_all() -> None:
        for name in names:
            print(f"{name}: {ensure_node().node if name == 'node' else ensure(name)}")

    return exit_code(find_all)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
