"""Read by which image a Dockerfile wants to be read: its line `# syntax=docker/dockerfile:1`.

Docker offers no way to say "the engine's own instead". So where Docker's frontend cannot be pulled,
the Dockerfile is given to the engine without that line, and the run says so. Any other frontend, a
labs channel and a digest are what the author insists on: without them the build fails.
"""

import re
from collections.abc import Sequence

MOST_DIRECTIVES = 10
_ASKED = re.compile(r"#(\d{1,6}) resolve image config for (?:docker-image://)?([^\s]{1,300})")
_STEP_FAILED = re.compile(r"#(\d{1,6}) ERROR:?")
_DOCKERS_OWN = re.compile(r"(?:docker\.io/)?docker/dockerfile(?::(?:latest|1(?:\.\d{1,4}){0,2}))?")
# https://docs.docker.com/reference/dockerfile/#parser-directives: only before anything else.
_DIRECTIVE = re.compile(r"#[ \t]{0,99}([A-Za-z][A-Za-z0-9]{0,30})[ \t]{0,99}=.{0,999}")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def missing_frontend(lines: Sequence[str]) -> str:
    """Return the frontend that the engine did not get, by a build's last lines; else nothing."""
    text = "\n".join(lines)
    failed = set(_STEP_FAILED.findall(text))
    return next((image for step, image in _ASKED.findall(text) if step in failed), "")


def engine_may_read_it(image: str) -> bool:
    """Return whether the engine's own frontend may take the place of `image`."""
    return bool(_DOCKERS_OWN.fullmatch(image))


def without_frontend(dockerfile: bytes) -> bytes | None:
    """Return a Dockerfile without the line that names a frontend; None if it has no such line."""
    lines = dockerfile.removeprefix(_BYTE_ORDER_MARK).split(b"\n")
    for number, line in enumerate(lines[:MOST_DIRECTIVES]):
        found = _DIRECTIVE.fullmatch(line.decode("latin-1").strip())
        if not found:
            return None
        if found[1].lower() == "syntax":
            return b"\n".join([*lines[:number], *lines[number + 1 :]])
    return None
