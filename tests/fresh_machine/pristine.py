"""The tree of a Debian on which nothing is installed but what the README asks for."""

import platform
import shutil
import subprocess
from pathlib import Path

from sandbox.host.machine import ensure, locked
from sandbox.parts.cache import cache_folder, made_whole

# What the README asks for, and what every installed Debian has: addresses, processes, authorities.
PACKAGES = "python3,python3-venv,git,make,ca-certificates,iproute2,procps"
SECONDS_TO_UNPACK = 900.0
USER = "somebody"


def pristine(say) -> Path:
    """Return the pristine tree; it is unpacked once and kept in this user's cache."""
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    folder = cache_folder() / f"fresh-machine-{release}"
    with locked(folder.with_suffix(".lock"), "another proof that unpacks Debian"):
        if not folder.exists():
            say(f"unpacking a pristine Debian {release} (kept as {folder})")
            with made_whole(folder) as tree:
                _unpack(release, tree)
    return folder


def _unpack(release, tree):
    subprocess.run(
        [
            *(ensure("mmdebstrap"), "--quiet", "--mode=root", "--format=directory"),
            *("--variant=minbase", f"--include={PACKAGES}"),
            f'--customize-hook=chroot "$1" useradd --create-home --shell /bin/sh {USER}',
            *(release, tree),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS_TO_UNPACK,
    )


def copy_of(pristine: Path, tree: Path) -> None:
    """Copy the pristine tree; where the file system can, without copying its blocks."""
    subprocess.run(["cp", "--archive", "--reflink=auto", f"{pristine}/.", tree], check=True)


def bring_node(tree: Path, inside: str) -> None:
    """Give the tree this machine's Node.js and npm, as an archive of Node.js would below `inside`.

    Debian's own is older than applications need, so that the README asks for one from elsewhere.
    """
    where = tree / inside.lstrip("/")
    modules = where / "lib/node_modules"
    modules.mkdir(parents=True)
    (where / "bin").mkdir()
    shutil.copy(Path(shutil.which("node")).resolve(), where / "bin/node")
    # …/node_modules/npm/bin/npm-cli.js
    npm = Path(shutil.which("npm")).resolve().parents[1]
    shutil.copytree(npm, modules / "npm", symlinks=True)
    for name in ("npm", "npx"):
        (where / "bin" / name).symlink_to(f"../lib/node_modules/npm/bin/{name}-cli.js")
