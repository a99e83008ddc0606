"""A machine on which nothing is installed, and a clone of this checkout on it.

It is a folder with a pristine Debian, entered with mounts, processes and a network of its own. How
this machine reaches its registries is copied from it: that does not belong to what is installed.
Committed files only are in the clone. Everything is removed at the end, also after a failure.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from deployments import ROOT
from sandbox.host.machine import THIS_MACHINE, say
from sandbox.images.rootfs import CA_BUNDLE_INSIDE, ca_bundle
from sandbox.parts.cache import cache_folder
from tests.fresh_machine import network
from tests.fresh_machine.pristine import USER, bring_node, copy_of, pristine

ENTER = Path(__file__).parent / "enter.sh"
PROGRAMS = ("unshare", "nsenter", "pivot_root", "ip", "node", "npm", "git")
NODE = "/opt/node"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SECONDS_TO_REMOVE = 60
TREE = re.compile(r"fresh-machine-of-(\d+)-.*")
# Where this machine says how registries are reached; a person's own files, which may hold tokens,
# are not among them.
REGISTRIES = (
    *("/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/apt.conf.d"),
    *("/etc/apt/keyrings", "/etc/apt/trusted.gpg.d", "/usr/share/keyrings"),
    *("/etc/pip.conf", "/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc", "/etc/hosts"),
)
PROXIES = [f"{kind}_proxy" for kind in ("http", "https", "no", "all")]
TRUSTING = ("PIP_CERT", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")


def obstacle() -> str | None:
    """Return why this machine cannot have a fresh machine on it, or None."""
    if os.geteuid() != 0:
        return "root is needed, for mounts and a network of its own"
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        return f"{', '.join(missing)} is missing"
    names = [name for name in ("mmdebstrap", "iptables") if THIS_MACHINE.find(name) is None]
    refusal = THIS_MACHINE.refusal(names)
    return str(refusal) if refusal else None


@dataclass(frozen=True)
class Ran:
    """What a command on the fresh machine did: its exit code, all that it wrote, seconds."""

    code: int
    text: str
    seconds: float


@dataclass(frozen=True)
class FreshMachine:
    """A tree that is a machine, and the network namespace that it has."""

    tree: Path
    network: Path

    def checkout(self, user: str = "root") -> Path:
        """Return the folder of the user's clone, as seen from outside."""
        return self.tree / _home(user).lstrip("/") / "checkout"

    def run(
        self, *command: str, timeout: float, user: str = "root", node: bool = True, **variables: str
    ) -> Ran:
        """Run a command in the user's clone; after `timeout` seconds all of it is killed.

        Its code is then that of the signal, and its text what it had said.
        """
        home = _home(user)
        environment = {
            "HOME": home,
            "USER": user,
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            **dict.fromkeys(TRUSTING, CA_BUNDLE_INSIDE),
            **{name: value for name, value in os.environ.items() if name.lower() in PROXIES},
            "PATH": f"{NODE}/bin:{PATH}" if node else PATH,
            **variables,
        }
        began = time.monotonic()
        with tempfile.TemporaryFile() as said:
            program = subprocess.Popen(
                [
                    # What is left of it ends with the tests, even if these are killed.
                    *("setpriv", "--pdeathsig", "KILL", "nsenter", f"--net={self.network}"),
                    *("unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"),
                    *("sh", str(ENTER), str(self.tree)),
                    *("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"),
                    *("env", "--ignore-environment", f"--chdir={home}/checkout"),
                    *(f"{name}={value}" for name, value in environment.items()),
                    *command,
                ],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
            try:
                with suppress(subprocess.TimeoutExpired):
                    program.wait(timeout)
            finally:
                program.kill()
                code = program.wait()
            said.seek(0)
            return Ran(code, said.read().decode(errors="replace"), time.monotonic() - began)


@contextmanager
def fresh_machine() -> Iterator[FreshMachine]:
    """Make a fresh machine; remove all of it at the end."""
    remove_left_behind()
    origin = pristine(say)
    with ExitStack() as stack:
        name = f"fresh-machine-of-{os.getpid()}-"
        tree = Path(tempfile.mkdtemp(prefix=name, dir=cache_folder()))
        stack.callback(_remove, tree)
        tree.chmod(0o755)
        copy_of(origin, tree)
        _copy_how_registries_are_reached(tree)
        bring_node(tree, NODE)
        _keep_control_groups_together(tree)
        for user in ("root", USER):
            _clone(tree, user)
        yield FreshMachine(tree, stack.enter_context(network.own_network()))


def _home(user):
    return "/root" if user == "root" else f"/home/{user}"


def _clone(tree, user):
    home = tree / _home(user).lstrip("/")
    subprocess.run(
        ["git", "clone", "--quiet", "--no-hardlinks", ROOT, home / "checkout"], check=True
    )
    owner = home.stat()
    if owner.st_uid:
        subprocess.run(["chown", "-R", f"{owner.st_uid}:{owner.st_gid}", home], check=True)


def _copy_how_registries_are_reached(tree):
    for name in REGISTRIES:
        origin, copy = Path(name), tree / name.lstrip("/")
        if origin.is_dir():
            shutil.copytree(origin, copy, dirs_exist_ok=True)
        elif origin.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(origin, copy)
    (tree / CA_BUNDLE_INSIDE.lstrip("/")).write_bytes(ca_bundle())
    copy = tree / "etc/resolv.conf"
    copy.unlink(missing_ok=True)
    copy.write_text(_resolvers().read_text())


def _resolvers():
    """Return the file that names resolvers; one on the loopback is not reached from outside."""
    usual, behind = Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")
    is_local = "nameserver 127." in usual.read_text()
    return behind if is_local and behind.exists() else usual


def _keep_control_groups_together(tree):
    """Let the machine's engine make its control groups, which are this machine's, in one place."""
    settings = tree / "etc/docker/daemon.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps({"cgroup-parent": f"/{tree.name}"}))


def remove_left_behind() -> None:
    """Remove the machines of processes that were killed."""
    network.remove_left_behind()
    for left in cache_folder().glob("fresh-machine-of-*"):
        found = TREE.fullmatch(left.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            _remove(left)


def _remove(tree):
    """Remove a tree and its control groups; its last processes may be ending only now."""
    deadline = time.monotonic() + SECONDS_TO_REMOVE
    while tree.exists():
        removal = subprocess.run(
            ["rm", "-rf", "--one-file-system", tree], capture_output=True, text=True, check=False
        )
        assert time.monotonic() < deadline, removal.stderr
        time.sleep(0.2)
    groups = Path("/sys/fs/cgroup")
    for top in (groups / tree.name, *groups.glob(f"*/{tree.name}")):
        for group, _, _ in os.walk(top, topdown=False):
            Path(group).rmdir()
