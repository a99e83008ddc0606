"""Build the images in which checks run on this machine if they cannot be pulled.

They replace `node:<version>-bookworm` (Node.js with git, Python and a compiler) and
`mcr.microsoft.com/playwright:v<version>-noble` (the same with a browser). Both build on Debian's
stand-in with packages from Debian's mirror. The one for Playwright's image has Debian's Chromium,
and no Firefox, WebKit or ffmpeg (for videos).
"""

import hashlib
import inspect
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Literal

import docker
from docker.errors import BuildError, DockerException

from delivery.errors import ConfigurationError, EngineUnavailable
from sandbox.host.machine import Say, locked
from sandbox.images import debian_base, images, node_base, rootfs
from sandbox.parts.cache import cache_folder

FOLDER = Path(__file__).parent / "check_rootfs"
RELEASE = "bookworm"
# The version of Node.js beside Playwright; its own image has the long-term release of its time.
NODE_OF_PLAYWRIGHT = "22"
SECONDS_WITHOUT_OUTPUT = 600
_PLAYWRIGHT = re.compile(
    r"mcr\.microsoft\.com/playwright:v(?P<version>\d+\.\d+\.\d+)(?:-(?:noble|jammy))?"
)
# How apt, npm and Node.js begin the line that names the reason of a failure.
_COMPLAINT = re.compile(r"^(?:E: |npm error (?!code|A complete log)|\w*Error\b)")
# The engine marks standard error red.
_COLOUR = re.compile(r"\x1b\[\d*m")


def node_version(reference: str) -> str | None:
    """Return the version that `node:<version>-bookworm` names ("22"); None for other images."""
    tag = reference.partition(":")[2]
    is_full = tag.endswith(f"-{RELEASE}") and tag.count("-") == 1
    return node_base.node_version(reference) if is_full else None


def playwright_version(reference: str) -> str | None:
    """Return the version that a reference to Playwright's image names; None for other images."""
    match = _PLAYWRIGHT.fullmatch(reference)
    return match["version"] if match else None


def recipe_of(version: str) -> str:
    """Return the content hash of everything that a stand-in for this version is built from."""
    content = hashlib.sha256(version.encode())
    content.update(inspect.getsource(inspect.getmodule(recipe_of)).encode())  # type: ignore[arg-type]
    for file in sorted(FOLDER.iterdir()):
        content.update(file.name.encode() + file.read_bytes())
    content.update(debian_base.recipe_of(RELEASE).encode())
    content.update(node_base.recipe_of(version).encode())
    return content.hexdigest()[:16]


def make_node_image(client: docker.DockerClient, version: str, reference: str, say: Say) -> str:
    """Build the stand-in for `node:<version>-bookworm` as `reference`; return the image's id.

    Raises `ConfigurationError`, for instance if the npm registry has no such version.
    """
    files = node_base.node_files(version, say)
    return _make(client, reference, files, {"target": "node", "version": version}, say)


def make_playwright_image(
    client: docker.DockerClient, version: str, reference: str, say: Say
) -> str:
    """Build the stand-in for Playwright's image of `version` as `reference`; return its id.

    Raises `ConfigurationError`, for instance if the npm registry has no such version.
    """
    files = node_base.node_files(NODE_OF_PLAYWRIGHT, say)
    return _make(client, reference, files, {"target": "playwright", "version": version}, say)


def _make(
    client: docker.DockerClient,
    reference: str,
    files: node_base.NodeFiles,
    stage: Mapping[Literal["target", "version"], str],
    say: Say,
) -> str:
    with locked(cache_folder() / "check-images.lock", "another sandbox that builds images"):
        debian = _debian(client, say)
        say(f"building {reference} with packages of Debian {RELEASE} (a minute at first)")
        with _context(files) as context:
            try:
                image, _ = client.images.build(
                    fileobj=context,
                    custom_context=True,
                    tag=reference,
                    target=stage["target"],
                    buildargs={
                        "DEBIAN": debian,
                        "NODE_VERSION": files.version,
                        "PLAYWRIGHT_VERSION": stage["version"],
                    },
                    labels=images.stand_in_labels(recipe_of(stage["version"])),
                    # It reaches the mirror wherever this machine does, even if bridges do not.
                    network_mode="host",
                    rm=True,
                    forcerm=True,
                    timeout=SECONDS_WITHOUT_OUTPUT,
                )
            except BuildError as failure:
                raise _failed(reference, failure) from None
            except (DockerException, OSError) as failure:
                raise EngineUnavailable(f"The engine did not build {reference}: {failure}") from (
                    failure
                )
    return str(image.id)


def _debian(client: docker.DockerClient, say: Say) -> str:
    """Return the name of Debian's stand-in, also where Debian's image could be pulled.

    Only the stand-in trusts this machine's certificate authorities.
    """
    name = images.stand_in_name("debian", RELEASE)
    known = images.find_image(client, name)
    if known is None or known.recipe != debian_base.recipe_of(RELEASE):
        debian_base.make_debian_image(client, RELEASE, name, say)
    return name


def _failed(reference: str, failure: BuildError) -> ConfigurationError:
    output = "".join(line.get("stream", "") for line in failure.build_log)
    telling = [line for line in _COLOUR.sub("", output).splitlines() if _COMPLAINT.search(line)]
    return ConfigurationError(
        f"{reference} could not be built: {images.last_line((telling or [failure.msg])[0])}",
        hint="Are Debian's mirror and the npm registry reachable, and does this version exist?",
    )


@contextmanager
def _context(files: node_base.NodeFiles) -> Iterator[IO[bytes]]:
    """Yield the build's context: the files of this folder, and the tree of Node.js."""
    with (
        rootfs.rootfs_archive(lambda root: node_base.add_node(root, files)) as tree,
        NamedTemporaryFile(prefix="kanvaro-context-", suffix=".tar") as file,
    ):
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.add(tree, "node.tar")
            for one in sorted(FOLDER.iterdir()):
                archive.add(one, one.name)
        file.seek(0)
        yield file
