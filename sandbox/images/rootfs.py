"""Build root file systems for images: tar archives of files of this machine.

tarfile writes them, so owners and modes are right without root; equal content gives equal archives.
"""

import io
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile

from delivery.errors import ConfigurationError

CA_BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
)
CA_BUNDLE_INSIDE = "/etc/ssl/certs/ca-certificates.crt"
SECONDS_FOR_LDD = 20.0
# glibc loads these by name, so no program lists them.
_NAMED_AT_RUN_TIME = ("libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2")
_BESIDES = ("librt.so.1", "libutil.so.1", "libcrypt.so.1", "libatomic.so.1", "libz.so.1")
# As in every Debian since bookworm, the old top-level folders are links into /usr.
_USR_MERGED = ("bin", "sbin", "lib", "lib64")


def ca_bundle() -> bytes:
    """Return this machine's certificate authorities (PEM); raises `ConfigurationError`."""
    for path in CA_BUNDLES:
        if path.is_file():
            return path.read_bytes()
    raise ConfigurationError(
        "This machine has no bundle of certificate authorities.",
        hint="Install ca-certificates: what is built in a stand-in image needs it for TLS.",
    )


def libraries_of(binary: Path, library_path: str = "") -> dict[str, Path]:
    """Return the shared libraries that `binary` loads: path inside the image to file here.

    `library_path` is searched first (as LD_LIBRARY_PATH). A static binary has none. Raises
    `ConfigurationError` if one is missing.
    """
    ldd = subprocess.run(
        ["ldd", str(binary)],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_FOR_LDD,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "LD_LIBRARY_PATH": library_path},
    )
    if "not a dynamic executable" in ldd.stdout + ldd.stderr:
        return {}
    missing = re.findall(r"^\s*(\S+) => not found", ldd.stdout, re.MULTILINE)
    if ldd.returncode != 0 or missing:
        raise ConfigurationError(
            f"{binary} needs libraries that this machine lacks: "
            f"{', '.join(missing) or ldd.stderr.strip()}."
        )
    paths = [Path(path) for path in re.findall(r"(/\S+) \(0x", ldd.stdout)]
    return {_inside(path, library_path): path for path in paths}


def _inside(library: Path, library_path: str) -> str:
    # A library from an unpacked package goes where the package would have installed it.
    for root in filter(None, library_path.split(":")):
        if library.is_relative_to(root):
            return f"/usr/lib/{library.name}"
    return str(library)


@dataclass
class Rootfs:
    """A root file system being written to `archive`; paths are absolute, as inside the image."""

    archive: tarfile.TarFile
    _written: set[str] = field(default_factory=set)

    def directory(self, path: str, mode: int = 0o755, owner: int = 0) -> None:
        """Add a folder and the folders above it."""
        self._add(path, tarfile.DIRTYPE, mode=mode, owner=owner)

    def file(self, path: str, content: bytes | str, mode: int = 0o644, owner: int = 0) -> None:
        """Add a file with this content."""
        raw = content.encode() if isinstance(content, str) else content
        self._add(path, tarfile.REGTYPE, mode=mode, owner=owner, content=raw)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link at `path` to `target`."""
        self._add(path, tarfile.SYMTYPE, mode=0o777, target=target)

    def copy(self, source: Path, path: str, mode: int | None = None) -> None:
        """Add a file of this machine, following links; executable if it is so here."""
        status = source.stat()
        usual = 0o755 if status.st_mode & 0o111 else 0o644
        self._add(path, tarfile.REGTYPE, mode=mode or usual, content=source)

    def tree(self, source: Path, path: str) -> None:
        """Add a folder of this machine with everything in it; links stay links."""
        self.directory(path)
        for one in sorted(source.rglob("*")):
            inside = str(PurePosixPath(path) / one.relative_to(source).as_posix())
            if one.is_symlink():
                self.link(inside, str(one.readlink()))
            elif one.is_dir():
                self.directory(inside)
            else:
                self.copy(one, inside)

    def program(self, binary: Path, path: str, library_path: str = "") -> None:
        """Add a program of this machine with the libraries it loads."""
        self.copy(binary, path, mode=0o755)
        libraries = libraries_of(binary, library_path)
        for inside, library in libraries.items():
            self.copy(library, inside)
        folders = {path.parent for path in libraries.values() if path.name.startswith("libc.so")}
        for folder in folders:
            self._copy_unlisted(folder)

    def base(self, users: Mapping[str, int], name: str) -> None:
        """Add what every image has: folders, users (name to id), DNS, authorities, a name."""
        for folder in _USR_MERGED:
            self.directory(f"/usr/{folder}")
            self.link(f"/{folder}", f"usr/{folder}")
        for folder in ("proc", "sys", "dev", "run", "var", "opt", "usr/local/bin"):
            self.directory(f"/{folder}")
        for folder in ("/tmp", "/var/tmp"):  # noqa: S108 - inside the image
            self.directory(folder, mode=0o1777)
        self.directory("/root", mode=0o700)
        accounts = {"root": 0, **users, "nobody": 65534}
        homes = {"root": "/root", "nobody": "/nonexistent"}
        for user, number in users.items():
            self.directory(f"/home/{user}", owner=number)
        self.file(
            "/etc/passwd",
            "".join(
                f"{user}:x:{number}:{number}::{homes.get(user, f'/home/{user}')}:/bin/sh\n"
                for user, number in accounts.items()
            ),
        )
        groups = {**accounts, "nogroup": accounts["nobody"]}
        del groups["nobody"]
        self.file("/etc/group", "".join(f"{one}:x:{number}:\n" for one, number in groups.items()))
        self.file("/etc/shadow", "".join(f"{one}:*:::::::\n" for one in accounts), mode=0o640)
        self.file("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
        self.file(CA_BUNDLE_INSIDE, ca_bundle())
        self.file(
            "/etc/os-release",
            f'PRETTY_NAME="{name}"\nNAME="{name}"\nID=kanvaro-stand-in\nID_LIKE=debian\n',
        )

    def busybox(self, binary: Path) -> None:
        """Add a static busybox, with a link for each of its commands that does not exist yet."""
        self.copy(binary, "/usr/bin/busybox", mode=0o755)
        listed = subprocess.run(
            [binary, "--list"], capture_output=True, text=True, check=True, timeout=SECONDS_FOR_LDD
        )
        for command in listed.stdout.split():
            if f"/usr/bin/{command}" not in self._written:
                self.link(f"/usr/bin/{command}", "busybox")

    def _copy_unlisted(self, folder: Path) -> None:
        for name in (*_NAMED_AT_RUN_TIME, *_BESIDES):
            if (folder / name).exists():
                self.copy(folder / name, str(folder / name))

    def _add(
        self,
        path: str,
        kind: bytes,
        *,
        mode: int,
        owner: int = 0,
        content: bytes | Path = b"",
        target: str = "",
    ) -> None:
        path = self._merged(path)
        if path in self._written:
            return
        if (parent := str(PurePosixPath(path).parent)) != "/":
            self._add(parent, tarfile.DIRTYPE, mode=0o755)
        self._written.add(path)
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.type, entry.mode, entry.linkname = kind, mode, target
        entry.uid = entry.gid = owner
        if isinstance(content, Path):
            with content.open("rb") as source:
                entry.size = content.stat().st_size
                self.archive.addfile(entry, source)
        else:
            entry.size = len(content)
            self.archive.addfile(entry, io.BytesIO(content))

    @staticmethod
    def _merged(path: str) -> str:
        top, _, rest = path.lstrip("/").partition("/")
        return f"/usr/{top}/{rest}" if top in _USR_MERGED and rest else path


@contextmanager
def rootfs_archive(fill: Callable[[Rootfs], None]) -> Iterator[Path]:
    """Yield the finished tar archive with what `fill` added; remove it afterwards."""
    with NamedTemporaryFile(prefix="kanvaro-rootfs-", suffix=".tar") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            fill(Rootfs(archive))
        file.flush()
        yield Path(file.name)
