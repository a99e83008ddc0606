"""By which frontend a Dockerfile is read, and when the engine's own may take its place."""

import pytest

from delivery.platform.frontend import engine_may_read_it, missing_frontend, without_frontend


@pytest.mark.parametrize(
    ("written", "left"),
    [
        (b"# syntax=docker/dockerfile:1\nFROM a\n", b"FROM a\n"),
        (b"#syntax = docker/dockerfile:1\r\nFROM a\r\n", b"FROM a\r\n"),
        (b"\xef\xbb\xbf# Syntax=x\nFROM a", b"FROM a"),
        (b"# escape=`\n# syntax=x\nFROM a", b"# escape=`\nFROM a"),
        (b"# caf\xe9\n# syntax=x\nFROM a", None),
        (b"\n# syntax=x\nFROM a", None),
        (b"FROM a\n# syntax=x\n", None),
        (b"", None),
    ],
)
def test_only_a_directive_before_anything_else_is_left_out(written, left):
    assert without_frontend(written) == left


@pytest.mark.parametrize(
    ("image", "may"),
    [
        ("docker.io/docker/dockerfile:1", True),
        ("docker/dockerfile", True),
        ("docker/dockerfile:1.7.0", True),
        ("docker/dockerfile:latest", True),
        ("docker.io/docker/dockerfile:1-labs", False),
        ("docker/dockerfile:experimental", False),
        (f"docker/dockerfile:1@sha256:{'0' * 64}", False),
        ("ghcr.io/docker/dockerfile:1", False),
        ("docker/dockerfile-upstream:master", False),
        ("", False),
    ],
)
def test_only_dockers_stable_frontend_is_the_engines_own(image, may):
    assert engine_may_read_it(image) is may


def test_a_frontend_is_missing_only_if_asking_for_it_failed():
    asked = "#3 resolve image config for docker.io/docker/dockerfile:1"

    assert missing_frontend([asked, "#3 ERROR: no such host"]) == "docker.io/docker/dockerfile:1"
    assert missing_frontend([asked, "#3 DONE 0.1s", "#5 ERROR: exit code: 7"]) == ""
    assert missing_frontend([]) == ""
