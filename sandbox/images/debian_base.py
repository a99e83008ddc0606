"""Build Debian's base image on this machine if `debian:…` cannot be pulled.

It is built as Debian builds its own: mmdebstrap unpacks the packages of the smallest installation
from Debian's mirror. Unlike Debian's image it also trusts this machine's certificate authorities,
since builds may download through a proxy.
"""

import hashlib
import inspect
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import docker

from delivery.errors import ConfigurationError
from sandbox.host.machine import Say, ensure, locked
from sandbox.images import images, rootfs
from sandbox.parts.cache import cache_folder

RELEASES = ("bookworm", "trixie")
SECONDS_TO_UNPACK = 900.0
_DEBIAN = re.compile(
    r"(?:(?:docker\.io/)?library/|docker\.io/)?debian:(?P<release>[a-z]+)(?:-slim)?"
)


def debian_release(reference: str) -> str | None:
    """Return the release that `debian:…` names ("bookworm"); None for other images."""
    match = _DEBIAN.fullmatch(reference)
    return match["release"] if match and match["release"] in RELEASES else None


def recipe_of(release: str) -> str:
    """Return the content hash of everything that a stand-in for this release is built from."""
    content = hashlib.sha256(release.encode())
    content.update(inspect.getsource(inspect.getmodule(recipe_of)).encode())  # type: ignore[arg-type]
    content.update(rootfs.ca_bundle())
    return content.hexdigest()[:16]


def make_debian_image(client: docker.DockerClient, release: str, reference: str, say: Say) -> str:
    """Build the stand-in for `release` as `reference`; return the image's id."""
    labels = images.stand_in_labels(recipe_of(release))
    configuration = ['CMD ["bash"]', *(f"LABEL {name}={value}" for name, value in labels.items())]
    return images.import_image(client, _archive(release, say), reference, configuration)


def _archive(release: str, say: Say) -> Path:
    """Return the root file system from the cache or, in half a minute, from Debian's mirror."""
    archive = cache_folder() / f"debian-{release}-{recipe_of(release)}.tar"
    with locked(archive.with_suffix(".lock"), "another sandbox that unpacks Debian"):
        if not archive.exists():
            say(f"unpacking Debian {release} from its mirror (kept as {archive})")
            _unpack(release, archive)
    return archive


def _unpack(release: str, archive: Path) -> None:
    program = ensure("mmdebstrap")
    with tempfile.TemporaryDirectory(prefix="kanvaro-debian-") as scratch:
        partial = Path(scratch) / "root.tar"
        trusted = _authorities(Path(scratch) / "authorities")
        unpacking = subprocess.run(
            [
                *(str(program), "--quiet", "--variant=minbase", "--include=ca-certificates"),
                f"--customize-hook=copy-in {trusted} /usr/local/share/ca-certificates",
                '--customize-hook=chroot "$1" update-ca-certificates',
                *(release, str(partial)),
            ],
            capture_output=True,
            text=True,
            timeout=SECONDS_TO_UNPACK,
            check=False,
        )
        if unpacking.returncode:
            raise ConfigurationError(
                f"mmdebstrap failed: {images.last_line(unpacking.stderr)}",
                hint="Is Debian's mirror reachable? As another user than root it needs uidmap.",
            )
        shutil.move(partial, archive)


def _authorities(folder: Path) -> Path:
    """Write this machine's certificate authorities to a folder, one per file as Debian needs."""
    folder.mkdir()
    folder.chmod(0o755)
    text = rootfs.ca_bundle().decode()
    found = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.DOTALL)
    for number, one in enumerate(found):
        (folder / f"{number}.crt").write_text(f"{one}\n")
    return folder
