"""The volume in which the application's code works: filled and read by tar streams only.

A container that is never started holds it, so that the engine can put files in and get them out,
wherever the engine runs. Nothing of the worker's disk is mounted anywhere.
"""

import posixpath
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any, cast

from docker import DockerClient
from docker.errors import APIError, ImageNotFound, NotFound

from delivery.errors import ConfigurationError, RequestRefused
from delivery.text import shortened

# An ordinary path: many servers answer 404 for a file below a folder whose name begins with a dot.
ROOT = "/workspace"
SOURCE = f"{ROOT}/source"
# The unprivileged user of the official Node images, and of Playwright's.
USER = 1000
BLOCK = 1 << 20
MOST_ENTRIES, MOST_PARTS = 200_000, 200


@dataclass(frozen=True)
class RunVolume:
    """The volume `name`, and the container of the same name that holds it."""

    name: str
    labels: Mapping[str, str]

    @property
    def binds(self) -> list[str]:
        return [f"{self.name}:{ROOT}"]


def make_volume(
    client: DockerClient, name: str, image: str, labels: Mapping[str, str], archive: Path
) -> RunVolume:
    """Make a volume, and fill it with a tar archive, whose paths begin with `workspace/`.

    Raises `ConfigurationError` if the engine refuses.
    """
    volume = RunVolume(name, labels)
    try:
        client.api.create_volume(name, labels=dict(labels))
        client.api.create_container(
            image,
            entrypoint=["nothing-is-started"],
            name=name,
            labels=dict(labels),
            network_disabled=True,
            host_config=client.api.create_host_config(binds=volume.binds, network_mode="none"),
        )
        with archive.open("rb") as file:
            client.api.put_archive(name, "/", file)
    except (ImageNotFound, APIError) as error:
        raise ConfigurationError(
            f"the volume of this run cannot be made: {error.explanation or error}",
            hint="Look at the Docker engine: `docker info`, `docker system df`.",
        ) from None
    return volume


def read_file(client: DockerClient, volume: RunVolume, path: str, most_bytes: int) -> bytes | None:
    """Return a regular file of the volume, or None if there is none at `path`.

    Raises `RequestRefused` if it has more than `most_bytes`.
    """
    with packed(client, volume, path, most_bytes + BLOCK) as stream:
        if stream is None:
            return None
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            first = archive.next()
            if first is None or not first.isreg():
                return None
            if first.size > most_bytes:
                raise _too_large(path, most_bytes)
            content = archive.extractfile(first)
            return content.read() if content else None


def copy_folder(
    client: DockerClient, volume: RunVolume, path: str, into: Path, most_bytes: int
) -> bool:
    """Copy what a folder of the volume holds into the new folder `into`; whether there is one.

    The path may lead through links that stay below SOURCE. Raises `RequestRefused` if it leads out,
    if something in it does, if it has more than `most_bytes` or 200,000 entries, or if it is deeper
    than programs walk.
    """
    tar, entries = filtering_tarfile(), 0

    def plain(entry: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
        nonlocal entries
        entries += 1
        if entries > MOST_ENTRIES or entry.name.count("/") > MOST_PARTS:
            raise RequestRefused(
                f"{path} has more than {MOST_ENTRIES} files, or one below {MOST_PARTS} folders",
                hint="Let the application write less there.",
            )
        below = entry.name.partition("/")[2]
        if not below:
            return None
        linked = entry.linkname.partition("/")[2] if entry.islnk() else entry.linkname
        # No path and no link leads out of the folder, and all belongs to this user.
        made: tarfile.TarInfo | None = tar.data_filter(
            entry.replace(name=below, linkname=linked, deep=False), folder
        )
        return made

    found = _without_links(client, volume, path)
    if found is None:
        return False
    with packed(client, volume, found, most_bytes) as stream:
        if stream is None:
            return False
        into.mkdir(mode=0o700, parents=True)
        try:
            with tar.open(fileobj=stream, mode="r|") as archive:
                archive.extractall(into, filter=plain)  # noqa: S202  stricter than "data"
        except tar.FilterError as error:
            raise RequestRefused(
                f"{path} leads out of its folder: {shortened(str(error), 200)}",
                hint="Links of what is built must stay in it.",
            ) from None
    return True


def _without_links(client: DockerClient, volume: RunVolume, path: str) -> str | None:
    """Return the folder to which a path below SOURCE leads; None if there is none."""
    found = SOURCE
    for part in posixpath.relpath(path, SOURCE).split("/"):
        try:
            chunks, about = client.api.get_archive(volume.name, posixpath.join(found, part))
        except NotFound:
            return None
        chunks.close()
        # The engine has followed the whole way of a link, inside of the container.
        found = about["linkTarget"] or posixpath.normpath(posixpath.join(found, part))
        if found != SOURCE and not found.startswith(f"{SOURCE}/"):
            raise RequestRefused(
                f"{path} leads out of the build, to {shortened(found, 200)}",
                hint="Let the build copy what it links to.",
            )
    return found


def filtering_tarfile() -> Any:
    """Return a `tarfile` that can refuse what leads out of a folder; Debian 12's own cannot."""
    return tarfile if hasattr(tarfile, "data_filter") else import_module("backports.tarfile")


@contextmanager
def packed(
    client: DockerClient, volume: RunVolume, path: str, most_bytes: int
) -> Iterator[IO[bytes] | None]:
    """Yield a file or folder of the volume as a tar stream, or None if there is none.

    Reading more than `most_bytes` of it raises `RequestRefused`.
    """
    try:
        chunks, _ = client.api.get_archive(volume.name, path, chunk_size=BLOCK)
    except NotFound:
        yield None
        return
    try:
        yield cast(IO[bytes], _Stream(chunks, path, most_bytes))
    finally:
        # Also where it was not read to its end.
        with suppress(Exception):
            chunks.close()


class _Stream:
    """Reads from the engine's chunks as from a file, up to a limit."""

    def __init__(self, chunks: Iterator[bytes], path: str, most_bytes: int) -> None:
        self._chunks, self._path, self._most_bytes = chunks, path, most_bytes
        self._read, self._rest = 0, b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (chunk := next(self._chunks, b"")):
            self._read += len(chunk)
            if self._read > self._most_bytes:
                raise _too_large(self._path, self._most_bytes)
            self._rest += chunk
        given, self._rest = self._rest[:size], self._rest[size:]
        return given


def _too_large(path: str, most_bytes: int) -> RequestRefused:
    return RequestRefused(
        f"{path} has more than {most_bytes / 1e6:.0f} MB",
        hint="Let the application write less there, or leave it out.",
    )
