"""Read the tag of a release: `v` and a semantic version (https://semver.org/spec/v2.0.0.html).

Build metadata (`+…`) is refused: the tag becomes the tag of an image, which allows no plus sign.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from delivery.errors import RequestRefused
from delivery.text import quoted

# What the form of a run accepts; `read_tag` explains any other refusal in a sentence.
TAG = r"^[A-Za-z0-9][A-Za-z0-9._+-]*$"
# https://docs.docker.com/reference/cli/docker/image/tag/
LONGEST_TAG = 128

_NUMBER = r"(?:0|[1-9][0-9]*)"
_NAMED = r"(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_SEMVER = re.compile(
    rf"v({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_NAMED}(?:\.{_NAMED})*))?"
    r"(\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?"
)
_HINT = "Tag a commit like v1.4.0 or v2.0.0-rc.1 (`git tag --annotate`), push it, release that tag."

Identifier = tuple[int, int, str]


@dataclass(frozen=True, order=True)
class VersionTag:
    """A tag such as `v1.4.0-rc.1`; tags are ordered by the precedence of their versions."""

    numbers: tuple[int, int, int]
    # A version without a pre-release comes after all of its pre-releases.
    is_stable: bool
    identifiers: tuple[Identifier, ...]
    name: str = field(compare=False)

    @property
    def version(self) -> str:
        return self.name.removeprefix("v")

    @property
    def ref(self) -> str:
        return f"refs/tags/{self.name}"

    def __str__(self) -> str:
        return self.name


def read_tag(name: str) -> VersionTag:
    """Read the tag of a release. Raises `RequestRefused`, saying what is wrong with it."""
    shown = quoted(name)
    if len(name) > LONGEST_TAG:
        raise RequestRefused(f"{shown} is longer than {LONGEST_TAG} characters", hint=_HINT)
    match = _SEMVER.fullmatch(name)
    if match is None:
        raise RequestRefused(f"{shown} is not `v` and a semantic version", hint=_HINT)
    if match[5]:
        raise RequestRefused(
            f"{shown} has build metadata ({match[5]}), which the tag of an image cannot hold",
            hint=_HINT,
        )
    major, minor, patch = (int(match[n]) for n in (1, 2, 3))
    named = match[4].split(".") if match[4] else []
    return VersionTag((major, minor, patch), not named, tuple(map(_identifier, named)), name)


def previous_tag(tag: VersionTag, others: Iterable[str]) -> str | None:
    """Return the version before `tag` in its history; before a stable version, a stable one."""
    before = [
        other
        for other in map(_as_tag, others)
        if other is not None and other < tag and (other.is_stable or not tag.is_stable)
    ]
    return max(before).name if before else None


def version_remark(tag: VersionTag, version: str | None) -> str:
    """Return a remark if package.json names another version than the tag, else an empty text."""
    if version == tag.version:
        return ""
    named = f"the version {quoted(version)}" if version else "no version"
    return f"package.json names {named}, and the tag is {tag}"


def _as_tag(name: str) -> VersionTag | None:
    try:
        return read_tag(name)
    except RequestRefused:
        return None


def _identifier(text: str) -> Identifier:
    """Make a key by which numbers are compared as numbers and come before words."""
    return (0, int(text), "") if text.isdecimal() else (1, 0, text)
