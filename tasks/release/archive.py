"""Write an archive whose bytes depend on its content only: not on time, user, folder or order.

The same bytes also need the same version of zlib; gzip promises no more.
"""

import gzip
import os
import tarfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

from delivery.errors import RequestRefused
from delivery.text import quoted
from tasks.workspace.folder_walk import require_short, walk

# GitHub takes assets of up to 2 GiB.
LARGEST_BUILD = 2 << 30
MOST_ENTRIES = 200_000
DIRECTORY, PROGRAM, FILE, LINK = 0o755, 0o755, 0o644, 0o777


def write_archive(
    folder: Path, into: Path, stem: str, moment: int, replaced: Mapping[bytes, bytes] | None = None
) -> None:
    """Pack `folder` as `stem`/… into the new file `into`, a .tar.gz.

    `moment` (seconds since 1970) is the time of every entry. In text files every key of `replaced`,
    such as the build's own folder, is replaced by its value, and so it is in names and targets of
    links: a server looks for its files by the build's id. Raises `RequestRefused` for a link
    that leads out of the folder, for anything that is neither a file, a folder nor a link, and for
    more than 2 GiB or 200,000 entries.
    """
    with (
        into.open("xb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=9) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        # By their new names: the order of the old ones may be one of chance.
        named = ((_renamed(path, replaced or {}), path) for path in _within_limits(folder))
        for name, relative in sorted(named, key=lambda each: each[0].parts):
            path = folder / relative
            entry = tarfile.TarInfo(stem if path == folder else f"{stem}/{name.as_posix()}")
            entry.mtime = moment
            content = _described(entry, path, folder, replaced or {})
            archive.addfile(entry, BytesIO(content) if entry.isreg() else None)


def _renamed(path: Path, replaced: Mapping[bytes, bytes]) -> Path:
    """Replace what is drawn at random in each part of a path; folders are no part of one."""
    written = os.fsencode(path)
    for old, new in replaced.items():
        if b"/" not in old + new:
            written = written.replace(old, new)
    return Path(os.fsdecode(written))


def _within_limits(folder: Path) -> Iterator[Path]:
    """Yield the folder and everything in it by name, each folder before its content."""
    yield Path()
    size = 0
    for number, (path, entry) in enumerate(walk(folder), 1):
        require_short(path)
        size += entry.stat(follow_symlinks=False).st_size
        if size > LARGEST_BUILD or number > MOST_ENTRIES:
            raise RequestRefused(
                f"the build has more than {MOST_ENTRIES} files, or {LARGEST_BUILD >> 30} GiB",
                hint="Leave out what the application does not serve, and release that.",
            )
        yield path


def _described(
    entry: tarfile.TarInfo, path: Path, folder: Path, replaced: Mapping[bytes, bytes]
) -> bytes:
    """Fill in the entry of a path; return the content of a file."""
    if path.is_symlink():
        entry.type, entry.mode = tarfile.SYMTYPE, LINK
        entry.linkname = str(_renamed(Path(_inside(path, folder)), replaced))
        return b""
    if path.is_dir():
        entry.type, entry.mode = tarfile.DIRTYPE, DIRECTORY
        return b""
    if not path.is_file():
        raise RequestRefused(f"{quoted(entry.name)} is neither a file, a folder nor a link")
    content = path.read_bytes()
    if b"\0" not in content:
        for old, new in replaced.items():
            content = content.replace(old, new)
    entry.mode = PROGRAM if path.stat().st_mode & 0o111 else FILE
    entry.size = len(content)
    return content


def refuse_links_out(folder: Path) -> None:
    """Raise `RequestRefused` for the first link in `folder` that leads out of it."""
    for relative, entry in walk(folder):
        if entry.is_symlink():
            inside_build(folder / relative, folder)


def inside_build(path: Path, folder: Path) -> Path:
    """Return the path, which may be a link or be reached by one, if it leads into `folder`.

    Raises `RequestRefused` if it leads out. A link that leads to itself stays where it is.
    """
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise RequestRefused(
            f"the link {quoted(os.path.relpath(path, folder))} of the build leads out of it",
            hint="Let the build copy what it links to.",
        )
    return path


def _inside(link: Path, folder: Path) -> str:
    """Return where a link leads, relative to itself. Raises `RequestRefused` if it leads out."""
    target = os.readlink(inside_build(link, folder))
    if not os.path.isabs(target):
        return target
    return os.path.relpath(os.path.realpath(link), os.path.realpath(link.parent))
