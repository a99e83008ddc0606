"""Export what a commit holds, byte for byte, and make sure that it is what was committed.

No file of a checkout takes part, and no attribute of git changes a file: what is written is hashed,
and the tree of the hashes must be the commit's tree.
"""

import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from delivery.errors import RequestRefused
from delivery.workspace.git_objects import (
    LINK,
    PROGRAM,
    SUBMODULE,
    CommittedFile,
    new_hash,
    tree_id,
)
from tasks.workspace.checkout import Source
from tasks.workspace.committed import listed_files, only_objects
from tasks.workspace.git import git_stream

MOST_BYTES = 4_000_000_000
BLOCK = 1 << 20


def source_archive(source: Source, folder: Path) -> Path:
    """Export the committed tree, byte for byte, into the new `folder`.

    Files marked export-ignore are kept, which a Dockerfile may copy, and links that lead out of the
    tree, which the Docker engine takes as links. No attribute of git changes a file. Raises
    `RequestRefused` if the tree is too large, or if what was written is not the commit's tree.
    """
    folder.mkdir(mode=0o700, parents=True)
    with _content(source) as contents:
        for file, content in contents:
            path = folder / os.fsdecode(file.path)
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            if file.mode == SUBMODULE:
                path.mkdir()
            elif file.mode == LINK:
                path.symlink_to(os.fsdecode(content.read()))
            else:
                with path.open("xb") as written:
                    shutil.copyfileobj(content, written)
                path.chmod(0o755 if file.mode == PROGRAM else 0o644)
    return folder


def pack_source(
    source: Source, archive: Path, stem: str, owner: int, files: Mapping[str, bytes] | None = None
) -> Path:
    """Pack the committed tree and git's folder as `stem`/… in a tar `archive`; return its path.

    The other `files`, by path, come beside it. All belong to the user `owner`. Raises as
    `source_archive` does.
    """
    with tarfile.open(archive, "w") as packed, _content(source) as contents:
        for above in (*reversed(Path(stem).parents), Path(stem)):
            if str(above) != ".":
                packed.addfile(_folder(str(above), owner))
        made = {""}
        for file, content in contents:
            path = os.fsdecode(file.path)
            for above in reversed(Path(path).parents):
                if (name := "" if str(above) == "." else str(above)) not in made:
                    made.add(name)
                    packed.addfile(_folder(f"{stem}/{name}", owner))
            if file.mode == SUBMODULE:
                packed.addfile(_folder(f"{stem}/{path}", owner))
                continue
            entry = _owned(tarfile.TarInfo(f"{stem}/{path}"), owner)
            entry.mode = 0o755 if file.mode == PROGRAM else 0o644
            if file.mode == LINK:
                entry.type, entry.linkname = tarfile.SYMTYPE, os.fsdecode(content.read())
                packed.addfile(entry)
            else:
                entry.size = file.size
                packed.addfile(entry, content)
        packed.add(
            source.folder / ".git",
            f"{stem}/.git",
            filter=lambda entry: (
                None if entry.name.endswith("/.git/kanvaro.gitconfig") else _owned(entry, owner)
            ),
        )
        made = {stem}
        for name, text in (files or {}).items():
            for above in reversed(Path(name).parents):
                if str(above) != "." and str(above) not in made:
                    made.add(str(above))
                    packed.addfile(_folder(str(above), owner))
            other = _owned(tarfile.TarInfo(name), owner)
            other.size, other.mode = len(text), 0o600
            packed.addfile(other, BytesIO(text))
    return archive


def _folder(name: str, owner: int) -> tarfile.TarInfo:
    entry = _owned(tarfile.TarInfo(name), owner)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry


def _owned(entry: tarfile.TarInfo, owner: int) -> tarfile.TarInfo:
    entry.uid = entry.gid = owner
    entry.uname = entry.gname = ""
    return entry


@contextmanager
def _content(source: Source) -> Iterator[Iterator[tuple[CommittedFile, "_Content"]]]:
    """Yield every file of the commit with its content, which the caller reads to its end.

    At the end of the block what was read is compared with the commit's tree.
    """
    files = listed_files(source)
    size = sum(file.size for file in files)
    if size > MOST_BYTES:
        raise RequestRefused(
            f"the files of this commit have {size / 1e9:.1f} GB together",
            hint=f"At most {MOST_BYTES / 1e9:.0f} GB are checked or built: keep large files in Git "
            "LFS or elsewhere.",
        )
    read: list[CommittedFile] = []
    with only_objects(source) as (settings, extra), _blobs(files, settings, extra) as blobs:
        yield _each(files, blobs, read)
    if tree_id(read, source.tree) != source.tree:
        raise RequestRefused(
            f"the files read from git are not those of the commit {source.revision[:10]}",
            hint="Remove the mirror of this repository from the worker's folder, and run again.",
        )


def _each(
    files: list[CommittedFile], blobs: IO[bytes], read: list[CommittedFile]
) -> Iterator[tuple[CommittedFile, "_Content"]]:
    for file in files:
        if file.mode == SUBMODULE:
            read.append(file)
            yield file, _Content(blobs, 0, file.oid)
            continue
        said = blobs.readline().split()
        if said[1:] != [b"blob", b"%d" % file.size]:
            raise RequestRefused(f"git does not have {os.fsdecode(file.path)!r} of this commit")
        content = _Content(blobs, file.size, file.oid)
        yield file, content
        blobs.read(1)
        read.append(replace(file, oid=content.oid()))


class _Content:
    """The content of one file, read from git's stream, and the name that git gives it."""

    def __init__(self, stream: IO[bytes], size: int, like: str) -> None:
        self._stream, self._left = stream, size
        self._hash = new_hash(like)
        self._hash.update(b"blob %d\0" % size)

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        chunk = self._stream.read(wanted) if wanted else b""
        self._left -= len(chunk)
        self._hash.update(chunk)
        return chunk

    def oid(self) -> str:
        while self._left and self.read(BLOCK):
            pass
        return self._hash.hexdigest()


@contextmanager
def _blobs(
    files: list[CommittedFile], settings: Path, extra: Mapping[str, str]
) -> Iterator[IO[bytes]]:
    with TemporaryFile() as asked:
        asked.writelines(f"{file.oid}\n".encode() for file in files if file.mode != SUBMODULE)
        asked.seek(0)
        with git_stream("cat-file", "--batch", settings=settings, extra=extra, stdin=asked) as out:
            yield out
