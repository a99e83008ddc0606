"""The programs that a machine may lack, and the packages that bring them."""

from dataclasses import dataclass
from pathlib import Path

from delivery.errors import ConfigurationError


@dataclass(frozen=True)
class Need:
    """A program that may be missing: where to look for it, and which packages contain it.

    `globs` are absolute patterns outside PATH; `override` is an environment variable that names the
    program; no `ubuntu` packages means that Ubuntu has none that work without more steps.
    """

    name: str
    programs: tuple[str, ...]
    debian: tuple[str, ...]
    ubuntu: tuple[str, ...]
    globs: tuple[str, ...] = ()
    override: str | None = None
    must_answer: bool = False
    by_hand: str = ""


def _packaged(name: str, program: str, *packages: str, globs: tuple[str, ...] = ()) -> Need:
    return Need(name, (program,), packages, packages, globs)


NEEDS = {
    need.name: need
    for need in (
        _packaged("redis-server", "redis-server", "redis-server"),
        # Debian puts /usr/sbin into PATH for root only.
        _packaged("docker", "dockerd", "docker.io", "iptables", globs=("/usr/sbin/dockerd",)),
        _packaged("iptables", "iptables", "iptables", globs=("/usr/sbin/iptables",)),
        _packaged("busybox", "busybox", "busybox-static"),
        _packaged("git", "git", "git"),
        # What `python3 -m venv` needs, which Debian packs apart from Python.
        Need(
            "python3-venv",
            (),
            debian=("python3-venv",),
            ubuntu=("python3-venv",),
            globs=("/usr/lib/python3*/ensurepip/__init__.py",),
        ),
        _packaged("make", "make", "make"),
        _packaged("docker-compose", "docker-compose", "docker-compose"),
        _packaged("mmdebstrap", "mmdebstrap", "mmdebstrap"),
        _packaged("nginx", "nginx", "nginx-light", globs=("/usr/sbin/nginx",)),
        _packaged(
            "postgresql", "postgres", "postgresql", globs=("/usr/lib/postgresql/*/bin/postgres",)
        ),
        Need(
            "chromium",
            ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser"),
            debian=("chromium",),
            ubuntu=(),
            globs=(str(Path.home() / ".cache/ms-playwright/chromium-*/chrome-linux*/chrome"),),
            override="KANVARO_CHROMIUM",
            # Ubuntu's chromium-browser may be a script that only tells the user to install a snap.
            must_answer=True,
            by_hand="Install google-chrome-stable, or `npx playwright install --with-deps "
            "chromium`, or set KANVARO_CHROMIUM to a browser's path.",
        ),
    )
}


def need_of(name: str) -> Need:
    """Return the need `name`; raises `ConfigurationError` for an unknown one."""
    if name not in NEEDS:
        raise ConfigurationError(
            f"`{name}` is not a program that we know how to find.",
            hint=f"One of: {', '.join(NEEDS)}.",
        )
    return NEEDS[name]
