"""Extract programs from Debian packages without installing them, which any user can do."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from delivery.errors import ConfigurationError
from sandbox.host import machine
from sandbox.host.machine import Say, locked
from sandbox.images.images import last_line
from sandbox.images.rootfs import libraries_of
from sandbox.parts.cache import cache_folder, made_whole

SECONDS_FOR_A_DOWNLOAD = 180.0

# The libraries beyond the C library that redis-server of Debian and Ubuntu loads.
_REDIS_PACKAGES = (
    ("redis-server", "redis-tools"),
    ("libatomic1", "libjemalloc2", "liblua5.1-0", "liblzf1", "lua-bitop", "lua-cjson"),
    ("libssl3", "libssl3t64", "libsystemd0", "libgcrypt20", "liblz4-1", "liblzma5", "libzstd1"),
    ("libcap2", "libgpg-error0"),
)


@dataclass(frozen=True)
class Program:
    """A program on this machine, and the folders to search first for its libraries."""

    path: Path
    library_path: str = ""


def static_busybox(say: Say) -> Path:
    """Return a statically linked busybox of this machine or from Debian's package."""
    found = machine.THIS_MACHINE.find("busybox")
    if found and not libraries_of(found):
        return found
    folder = unpacked("busybox-static", ["busybox-static"], say)
    return _file_named("busybox", folder)


def redis_server(say: Say) -> tuple[Program, Program]:
    """Return redis-server and redis-cli of this machine or from Debian's packages."""
    server, client = shutil.which("redis-server"), shutil.which("redis-cli")
    if server and client:
        return Program(Path(server).resolve()), Program(Path(client).resolve())
    required, *libraries = _REDIS_PACKAGES
    folder = unpacked("redis", required, say, [one for group in libraries for one in group])
    library_path = ":".join(sorted({str(path.parent) for path in folder.rglob("*.so*")}))
    return tuple(  # type: ignore[return-value]
        Program(_file_named(name, folder), library_path)
        for name in ("redis-check-rdb", "redis-cli")
    )


def _file_named(name: str, folder: Path) -> Path:
    found = [path for path in folder.rglob(name) if path.is_file() and os.access(path, os.X_OK)]
    if not found:
        raise ConfigurationError(f"The Debian package in {folder} has no program {name}.")
    return found[0]


def unpacked(name: str, packages: Sequence[str], say: Say, optional: Sequence[str] = ()) -> Path:
    """Return a cached folder with the files of these Debian packages; nothing is installed.

    `optional` packages do not exist in every release. Raises `ConfigurationError`.
    """
    folder = cache_folder() / f"debian-{name}"
    with locked(folder.with_suffix(".lock"), "another sandbox that fetches packages"):
        if not folder.is_dir():
            say(f"fetching {', '.join(packages)} with apt-get download (kept in {folder})")
            _fetch(packages, optional, folder)
    return folder


def _fetch(packages: Sequence[str], optional: Sequence[str], folder: Path) -> None:
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise ConfigurationError(
            f"{', '.join(packages)} is missing, and this is not Debian or Ubuntu.",
            hint=f"Install {packages[0]} yourself, or use a machine that can pull images.",
        )
    with made_whole(folder) as root, tempfile.TemporaryDirectory() as downloads:
        archives = Path(downloads)
        # apt downloads as a user of its own, which must be able to write here.
        archives.chmod(0o755)
        for package in packages:
            reason = _download(package, archives)
            # A new machine has no package lists yet.
            if reason and machine.THIS_MACHINE.update_package_lists():
                reason = _download(package, archives)
            if reason:
                raise ConfigurationError(
                    f"The Debian package {package} could not be downloaded: {reason}",
                    hint="Run `apt-get update` as root, then run again.",
                )
        for package in optional:
            _download(package, archives)
        for archive in sorted(archives.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(archive), str(root)], check=True, timeout=60)


def _download(package: str, into: Path) -> str | None:
    download = subprocess.run(
        ["apt-get", "-q", "download", package],
        cwd=into,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS_FOR_A_DOWNLOAD,
    )
    if download.returncode == 0:
        return None
    return last_line(download.stderr)
