"""Find the images that a Dockerfile builds on, without building it.

Source: https://docs.docker.com/reference/dockerfile/ (FROM, ARG, COPY --from, RUN --mount).
"""

import re
from collections import ChainMap
from collections.abc import Iterator, Mapping

from delivery.errors import ConfigurationError

_VARIABLE = re.compile(
    r"\$(?:\{(?P<braced>\w+)(?::(?P<operator>[-+])(?P<word>[^}]{0,1000}))?\}|(?P<bare>\w+))"
)
_HEREDOC = re.compile(r"<<-?([\"']?)(\w+)\1")
_STAGE = re.compile(r"(?P<image>\S+)(?:\s+AS\s+(?P<name>\S+))?", re.IGNORECASE)
_MOUNT_FROM = re.compile(r"--mount=\S{0,1000}?\bfrom=([^\s,]+)")
_COPY_FROM = re.compile(r"--from=(\S+)")
# Each ARG may name the one before it twice: twenty of them would make a million of one.
LONGEST_TEXT = 4000
# The builder sets these; only those that can be part of an image's name are listed.
_BUILDERS_OWN = {"TARGETOS": "linux", "BUILDOS": "linux"}


def base_references(dockerfile: str, arguments: Mapping[str, str] | None = None) -> list[str]:
    """Return the images that a Dockerfile takes from elsewhere, in order, each once.

    Its own stages and `scratch` are left out; `arguments` override the defaults of ARG. Raises
    `ConfigurationError` if there is no FROM, or one with a variable that has no value.
    """
    given = arguments or {}
    values: dict[str, str] = dict(_BUILDERS_OWN)
    stages: list[str] = []
    outside: dict[str, None] = {}
    for instruction, rest in _instructions(dockerfile):
        if instruction == "ARG" and not stages:
            values.update(_declared(rest, values, given))
        elif instruction == "FROM":
            image, name = _stage(_resolved(rest, values))
            if image.lower() not in (*stages, "scratch"):
                outside[image] = None
            stages.append(name)
        elif instruction in ("COPY", "ADD", "RUN"):
            pattern = _MOUNT_FROM if instruction == "RUN" else _COPY_FROM
            for image in pattern.findall(rest):
                # A variable here belongs to the stage and may name a stage; the build will report
                # it.
                if not image.isdigit() and "$" not in image and image.lower() not in stages:
                    outside[image] = None
    if not stages:
        raise ConfigurationError("The Dockerfile has no FROM.", hint="Begin it with a base image.")
    return list(outside)


def _stage(rest: str) -> tuple[str, str]:
    words = " ".join(word for word in rest.split() if not word.startswith("--"))
    match = _STAGE.fullmatch(words)
    if not match:
        raise ConfigurationError(f"The Dockerfile's `FROM {rest[:200]}` cannot be read.")
    return match["image"], (match["name"] or "").lower()


def _declared(rest: str, values: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    declared = dict[str, str]()
    known = ChainMap(declared, dict(values))
    for word in re.findall(r"(?:[^\s\"']|\"[^\"]*\"|'[^']*')+", rest):
        name, has_default, default = word.partition("=")
        if name in given:
            declared[name] = given[name]
        elif has_default:
            declared[name] = _resolved(default.strip("\"'"), known)
    return declared


def _resolved(text: str, values: Mapping[str, str]) -> str:
    if len(text) > LONGEST_TEXT:
        raise _too_long(text)

    def value_of(match: re.Match[str]) -> str:
        name, word = match["braced"] or match["bare"], match["word"] or ""
        value = values.get(name, "")
        if match["operator"] == "+":
            return word if value else ""
        if value or match["operator"] == "-":
            return value or word
        if _is_in_a_flag(match):
            return ""
        raise ConfigurationError(
            f"The Dockerfile's FROM uses ${name}, which has no value.",
            hint=f"Give it a default (`ARG {name}=…` before the first FROM) or pass it.",
        )

    resolved = _VARIABLE.sub(value_of, text)
    if len(resolved) > LONGEST_TEXT:
        raise _too_long(text)
    return resolved


def _too_long(text: str) -> ConfigurationError:
    return ConfigurationError(
        f"The Dockerfile's `{text[:60]}` is longer than {LONGEST_TEXT} characters.",
        hint="Write the image's name in FROM.",
    )


def _is_in_a_flag(match: re.Match[str]) -> bool:
    word_start = match.string.rfind(" ", 0, match.start()) + 1
    return match.string.startswith("--", word_start)


def _instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction in upper case and its arguments on one line; skip here-documents."""
    directive = re.match(r"(?:#[^\n]*\n)*?#\s*escape\s*=\s*([\\`])", dockerfile, re.IGNORECASE)
    escape = directive[1] if directive else "\\"
    pending, ends = "", list[str]()
    for line in dockerfile.lstrip("\ufeff").splitlines():
        if ends:
            if line.strip() == ends[0]:
                ends.pop(0)
            continue
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line.rstrip().endswith(escape):
            pending += line.rstrip()[:-1] + " "
            continue
        instruction, _, rest = (pending + line).strip().partition(" ")
        pending = ""
        if instruction.upper() in ("RUN", "COPY", "ADD"):
            ends = [word for _, word in _HEREDOC.findall(rest)]
        yield instruction.upper(), rest.strip()
