"""Decide how an image is built, and say why a build failed.

An author's `docker build` is BuildKit since Docker 23. So images are built by the docker program:
up to Docker 22 it speaks BuildKit itself, later versions need the plugin buildx for it. Where there
is no such program, the engine's older builder is asked, which knows less, and the run says so.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from delivery.errors import ImageFailed
from delivery.platform.frontend import missing_frontend
from delivery.text import shortened

FIRST_WITH_BUILDX = 23
# The build argument with which BuildKit reads a Dockerfile by another image than it names.
FRONTEND_ARGUMENT = "BUILDKIT_SYNTAX"
LARGEST_IGNORE_FILE, MOST_PATTERNS, MOST_STARS = 200_000, 2000, 8
_LONGEST_REASON, _LONGEST_NAME = 200, 200
_VERSION = re.compile(r"Docker version (\d{1,4})[.\d]{0,20}")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class DockerProgram:
    """A docker program on the worker: its path, and what `docker --version` answers."""

    path: str
    version: str

    @property
    def needs_buildx(self) -> bool:
        """Whether it speaks BuildKit by a plugin only; true also for what is not Docker's."""
        found = _VERSION.search(self.version)
        return not found or int(found[1]) >= FIRST_WITH_BUILDX


@dataclass(frozen=True)
class Build:
    """What is built: absolute paths on the worker, and what the image is given.

    `name` is that of the image until it was pushed: what has none may be removed by others.
    """

    context: str
    dockerfile: str
    arguments: Mapping[str, str]
    labels: Mapping[str, str]
    name: str


def build_command(program: str, build: Build, id_file: str) -> list[str]:
    """Return the argument list that builds an image, and writes its id into `id_file`."""
    given = [f"--build-arg={name}={value}" for name, value in build.arguments.items()]
    labels = [f"--label={name}={value}" for name, value in build.labels.items()]
    fixed = ["--progress=plain", f"--iidfile={id_file}", f"--file={build.dockerfile}"]
    fixed.append(f"--tag={build.name}")
    return [program, "build", *fixed, *given, *labels, "--", build.context]


def ignored_patterns(content: bytes) -> list[str]:
    """Return the patterns of a .dockerignore, read as docker reads it: bytes of any encoding.

    https://docs.docker.com/build/concepts/context/#dockerignore-files. Raises `ImageFailed` for a
    file that nobody wrote by hand: its patterns would cost this worker minutes.
    """
    lines = content.removeprefix(_BYTE_ORDER_MARK).decode(errors="surrogateescape").split("\n")
    kept = [line.strip() for line in lines if not line.startswith("#") and line.strip()]
    if (
        len(content) > LARGEST_IGNORE_FILE
        or len(kept) > MOST_PATTERNS
        or any(pattern.count("*") > MOST_STARS for pattern in kept)
    ):
        raise ImageFailed(
            f".dockerignore has more than {MOST_PATTERNS} patterns, or one with more than "
            f"{MOST_STARS} stars, which only BuildKit reads",
            hint="Install Docker's plugin buildx on the worker, or write fewer patterns.",
        )
    return kept


# What builders write, old and new ones: https://github.com/moby/buildkit. Each is one line.
_ASKS_BASE = re.compile(r"#(\d{1,6}) \[[^\]]{0,100}\] load metadata for ([^\s]{1,300})")
_STEP_FAILED = re.compile(r"#(\d{1,6}) ERROR:?")
_UNKNOWN = re.compile(r"(?i)\b(unknown flag: [\w-]{1,40}|unknown instruction: [^\s]{1,40})")
_NEEDS_BUILDKIT = re.compile(r"the --(?:mount|security|network|chmod)[^\n]{0,40} requires BuildKit")
_NOT_IN_CONTEXT = re.compile(
    r"failed to c(?:ompute cache key|alculate checksum)[^\n]{0,400}? \"?(/[^\s\":]{0,300})\"?:? not"
    r"|COPY failed: [^\n]{0,300}?stat ([^\s:]{1,300}): (?:no such file|file does)"
)
_NO_SPACE = re.compile(r"no space left on device")
_USER_AGENT_REFUSED = re.compile(r"pull access denied for ([^\s,]{1,300})")


def explain(
    lines: Sequence[str],
    *,
    engine: str,
    context: str,
    without_buildkit: str = "",
    without_frontend: str = "",
) -> str | None:
    """Return what to do about a failed build, by its last lines; None where no cause is known.

    `engine` is the engine's version, and `context` the folder of the repository that was built in.
    `without_buildkit` says why the older builder was asked, `without_frontend` names what should
    have read the Dockerfile in place of the engine.
    """
    text = "\n".join(lines)
    failed = set(_STEP_FAILED.findall(text))
    if frontend := missing_frontend(lines):
        return _about_frontend(frontend)
    if without_buildkit and (_UNKNOWN.search(text) or _NEEDS_BUILDKIT.search(text)):
        return (
            f"This Dockerfile needs BuildKit, and the older builder was used: {without_buildkit}. "
            "Install Docker's program with its plugin buildx on the worker, then run again."
        )
    if unknown := _UNKNOWN.search(text):
        about = (
            f"The engine (Docker {engine}) reads Dockerfiles with a frontend of its own age, to "
            f"which this is an {unknown[1]}"
        )
        if without_frontend:
            return (
                f"{about}; {without_frontend}, which it names, cannot be pulled. Load that image "
                "on the engine (`docker pull`, `docker load`), or take a newer engine (Docker 23 "
                "or later)."
            )
        return (
            f"{about}. Let the Dockerfile begin with "
            "`# syntax=docker/dockerfile:1`, name such an image as `dockerfile_frontend` in the "
            "environment's policy, or give the environment a newer engine (Docker 23 or later)."
        )
    if absent := _NOT_IN_CONTEXT.search(text):
        path = shortened(absent[1] or absent[2], _LONGEST_NAME)
        folder = "the repository's root" if context == "." else context
        return (
            f"{path} is not in the build's context. That is {folder}, without what .dockerignore "
            'leaves out; `context = "…"` in delivery.toml names another folder.'
        )
    for step, image in _ASKS_BASE.findall(text):
        if step in failed:
            return _about_base(image)
    if refused := _USER_AGENT_REFUSED.search(text):
        return _about_base(refused[1])
    if _NO_SPACE.search(text):
        return "The engine's disk is full: `docker system df`, then `docker builder prune`."
    return None


def _about_frontend(image: str) -> str:
    name = shortened(image, _LONGEST_NAME)
    return (
        f"{name}, by which the Dockerfile is to be read (its `# syntax` line, or the policy's "
        "`dockerfile_frontend`), is not on the engine and cannot be pulled. Let the engine reach "
        f"that registry or a mirror of it, or load it there (`docker pull {name}`, `docker load`), "
        "or take the line out: the engine's own frontend reads the Dockerfile then."
    )


def _about_base(image: str) -> str:
    name = shortened(image, _LONGEST_NAME)
    return (
        f"The base image {name} is not on the engine and cannot be pulled without a login. Is the "
        f"name right, and does the engine reach that registry? An image of a private registry "
        f"must be on the engine already: `docker pull {name}` there."
    )


def why_not(reasons: Sequence[str]) -> str:
    """Say in one line why no docker program of the worker can build with BuildKit."""
    shown = [shortened(reason, _LONGEST_REASON) for reason in reasons]
    return "; ".join(shown) or "there is no docker program on the worker's PATH"
