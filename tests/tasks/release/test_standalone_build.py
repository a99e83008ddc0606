"""What a release's build leaves is gathered from inside of the build only, whatever it links to."""

import os
from types import SimpleNamespace

import pytest

from delivery.errors import RequestRefused
from tasks.release import standalone_build


@pytest.fixture
def build(tmp_path):
    """A build with a standalone folder, as Next.js leaves it; outside of it, canaries."""
    outside = tmp_path / "outside"
    (outside / ".next/cache").mkdir(parents=True)
    for name in ("canary", ".env.production", ".next/cache/canary"):
        (outside / name).write_text("canary")
    app = tmp_path / "home/build/app"
    for name in (".next/static/a.js", "public/robots.txt", ".next/standalone/.next/BUILD_ID"):
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text("made")
    return SimpleNamespace(app=app, home=tmp_path / "home", outside=outside)


def gather(build, folder="."):
    return standalone_build._gathered(
        build.app,
        SimpleNamespace(home=build.home),
        SimpleNamespace(revision="0" * 40),
        SimpleNamespace(table=SimpleNamespace(folder=folder)),
    ).folder


def replace_by_link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.rename(path.with_name("moved"))
    path.symlink_to(target)


def canaries(build):
    return {path.relative_to(build.outside) for path in build.outside.rglob("*") if path.is_file()}


def test_static_files_and_public_are_gathered_beside_the_standalone_folder(build):
    folder = gather(build)

    assert (folder / "public/robots.txt").read_text() == "made"
    assert (folder / ".next/static/a.js").read_text() == "made"


@pytest.mark.parametrize("name", ["public", ".next/static", ".next/standalone"])
@pytest.mark.parametrize("absolute", [True, False])
def test_a_folder_that_is_a_link_out_of_the_build_is_refused(build, name, absolute):
    there = build.app / name
    target = build.outside if absolute else os.path.relpath(build.outside, there.parent)
    replace_by_link(there, target)

    with pytest.raises(RequestRefused, match=f"the link '{name}' of the build leads out of it"):
        gather(build)

    assert not list((build.home / "build").rglob("canary"))


@pytest.mark.parametrize("link", ["web", "web/.next", ".next", "deep/down"])
def test_nothing_is_written_or_deleted_through_a_link_that_the_build_made(build, link):
    there = build.app / ".next/standalone" / link
    replace_by_link(there, build.outside / ".next" if link.endswith(".next") else build.outside)
    before = canaries(build)

    with pytest.raises(RequestRefused, match=f"the link '{link}' of the build leads out of it"):
        gather(build, folder="web")

    assert canaries(build) == before


def test_a_link_that_leads_nowhere_is_kept_as_it_is(build):
    (build.app / ".next/standalone/public").symlink_to("not-here")
    (build.app / ".next/standalone/loop").symlink_to("loop")

    folder = gather(build)

    assert os.readlink(folder / "public") == "not-here"
    assert os.readlink(folder / "loop") == "loop"
