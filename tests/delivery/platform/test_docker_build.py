"""Which docker program builds, with which arguments, and what its failures mean.

The last lines are those that BuildKit of Docker 20.10 and 26.1 and the older builder wrote.
"""

import pytest

from delivery.errors import ImageFailed
from delivery.platform.docker_build import (
    Build,
    DockerProgram,
    build_command,
    explain,
    ignored_patterns,
)


@pytest.mark.parametrize(
    ("version", "needs_buildx"),
    [
        ("Docker version 20.10.24+dfsg1, build 297e128", False),
        ("Docker version 22.06.0-beta.0, build 3e9117b", False),
        ("Docker version 23.0.0, build e92dd87", True),
        ("Docker version 28.2.2, build e6534b4", True),
        ("podman version 4.3.1", True),
        ("", True),
    ],
)
def test_a_program_speaks_buildkit_itself_or_by_its_plugin(version, needs_buildx):
    assert DockerProgram("/usr/bin/docker", version).needs_buildx is needs_buildx


def test_the_context_and_the_dockerfile_are_never_taken_for_options():
    build = Build(
        "/run/-context",
        "/run/-context/-f",
        {"REVISION": "1"},
        {"kanvaro.tree": "2"},
        "kanvaro-built:r",
    )

    command = build_command("/usr/bin/docker", build, "/run/id")

    assert command[:2] == ["/usr/bin/docker", "build"]
    assert command[-2:] == ["--", "/run/-context"]
    assert {"--file=/run/-context/-f", "--iidfile=/run/id", "--tag=kanvaro-built:r"} < set(command)
    assert {"--build-arg=REVISION=1", "--label=kanvaro.tree=2"} < set(command)


@pytest.mark.parametrize(
    ("content", "patterns"),
    [
        (b"\xef\xbb\xbfnode_modules", ["node_modules"]),
        (b"# caf\xe9\nnode_modules\n", ["node_modules"]),
        (b"caf\xe9\r\n\r\n  !keep \n#no\n", ["caf\udce9", "!keep"]),
        (b"", []),
    ],
    ids=["bom", "latin1", "crlf", "empty"],
)
def test_an_ignore_file_is_read_as_bytes_of_any_encoding(content, patterns):
    assert ignored_patterns(content) == patterns


@pytest.mark.parametrize("content", [b"*/" * 9, b"a\n" * 2001, b"a" * 200_001])
def test_an_ignore_file_that_would_cost_minutes_is_refused(content):
    with pytest.raises(ImageFailed, match="only BuildKit reads"):
        ignored_patterns(content)


def about(*lines, engine="20.10.24", context=".", without_buildkit=""):
    return explain(lines, engine=engine, context=context, without_buildkit=without_buildkit)


REFUSED = 'failed to do request: Head "https://registry-1.docker.io/v2/": no such host'
FRONTENDS = [
    [
        "#3 resolve image config for docker.io/docker/dockerfile:1",
        f"#3 ERROR: {REFUSED}",
        f"failed to solve with frontend dockerfile.v0: failed to solve with gateway.v0: {REFUSED}",
    ],
    [
        "#2 resolve image config for docker-image://docker.io/docker/dockerfile:1",
        f"#2 ERROR: {REFUSED}",
        f"ERROR: failed to solve: failed to resolve source metadata for docker.io/x: {REFUSED}",
    ],
]


@pytest.mark.parametrize("lines", FRONTENDS, ids=["20.10", "26.1"])
def test_a_frontend_that_cannot_be_pulled_is_told_with_every_way_out(lines):
    hint = about(*lines)

    assert hint.startswith("docker.io/docker/dockerfile:1, by which the Dockerfile is to be read")
    for way_out in ("`# syntax` line", "mirror", "docker load", "take the line out"):
        assert way_out in hint


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("dockerfile parse error line 2: Unknown flag: link", "Unknown flag: link"),
        ("dockerfile parse error on line 3: unknown flag: parents", "unknown flag: parents"),
        ("dockerfile parse error line 3: unknown instruction: HELLO", "unknown instruction: HELLO"),
    ],
)
def test_what_the_engines_own_frontend_does_not_know_is_told_with_its_version(line, named):
    hint = about(f"failed to solve with frontend dockerfile.v0: {line}")

    assert "(Docker 20.10.24) reads Dockerfiles with a frontend of its own age, to which" in hint
    assert f"this is an {named}" in hint


@pytest.mark.parametrize(
    "line",
    [
        "the --mount option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/",
        "dockerfile parse error line 2: Unknown flag: link",
    ],
)
def test_what_the_older_builder_does_not_know_is_told_with_why_it_was_used(line):
    hint = about(line, without_buildkit="docker 28.2.2 has no plugin buildx")

    assert "needs BuildKit" in hint
    assert "docker 28.2.2 has no plugin buildx" in hint


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('failed to compute cache key: "/packages" not found: not found', "/packages"),
        (
            "ERROR: failed to solve: failed to compute cache key: failed to calculate checksum of "
            'ref 5e8a::u4: "/apps/web/server.js": not found',
            "/apps/web/server.js",
        ),
        (
            "COPY failed: file not found in build context or excluded by .dockerignore: "
            "stat packages: file does not exist",
            "packages",
        ),
    ],
)
def test_a_file_that_is_not_in_the_context_is_told_with_the_context(line, path):
    assert about(line).startswith(f"{path} is not in the build's context. That is the repository's")
    assert "That is apps/web, without" in about(line, context="apps/web")


@pytest.mark.parametrize(
    "lines",
    [
        ["#3 [internal] load metadata for docker.io/library/no:1", "#3 ERROR: no such host"],
        ["pull access denied for docker.io/library/no:1, repository does not exist"],
    ],
)
def test_a_base_image_that_cannot_be_pulled_is_named(lines):
    assert "docker pull docker.io/library/no:1" in about(*lines)


def test_a_full_disk_is_told():
    assert "docker builder prune" in about("write /x: no space left on device")


def test_a_program_that_fails_gets_no_invented_reason():
    assert about("#5 ERROR: executor failed running [/bin/sh -c exit 7]: exit code: 7") is None
    assert about("#3 [internal] load metadata for docker.io/library/no:1", "#4 ERROR: x") is None
