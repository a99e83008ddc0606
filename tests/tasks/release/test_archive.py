"""The archive of a release: the same bytes wherever and whenever it is packed."""

import os
import tarfile

import pytest

from delivery.errors import RequestRefused
from tasks.release import archive
from tasks.release.archive import write_archive
from tests.bounds.deep_folders import deep_file

MOMENT = 1_767_603_600


def build(folder, names=("b.txt", "a/c.js", "a/ü.bin"), mode=0o600):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(f"{name} made in {folder}"))
        path.chmod(mode)
    (folder / "link").symlink_to("a/c.js")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o711)
    return folder


def packed(folder, into, **more):
    place = {bytes(folder): b"/app"}
    write_archive(folder, into, "kanvaro-v1.0.0", MOMENT, place, **more)
    return into.read_bytes()


def test_two_builds_in_different_folders_give_the_same_bytes(tmp_path):
    one = build(tmp_path / "one")
    other = build(tmp_path / "far/away/other", ("a/ü.bin", "b.txt", "a/c.js"), mode=0o640)
    os.utime(other / "b.txt", (1, 1))

    assert packed(one, tmp_path / "1.tar.gz") == packed(other, tmp_path / "2.tar.gz")


def test_a_changed_byte_changes_the_archive(tmp_path):
    one = build(tmp_path / "one")
    before = packed(one, tmp_path / "1.tar.gz")
    (one / "b.txt").write_text("changed")

    assert packed(one, tmp_path / "2.tar.gz") != before


# Case of opennextjs/opennextjs-netlify#604: the server looks for its files by the build's id.
IDS = ("Zk3_x-Y7q9AbCdEfGhIjK", "-a1b2c3d4e5f6g7h8i9j0")


def test_what_is_called_as_the_builds_random_id_is_called_as_the_id_that_replaces_it(tmp_path):
    archives = []
    for build_id in IDS:
        folder = tmp_path / build_id
        static = folder / ".next/static"
        for name in (f"{build_id}/_buildManifest.js", "chunks/a.js", f"media/{build_id}.b.css"):
            (static / name).parent.mkdir(parents=True, exist_ok=True)
            (static / name).write_text(f"{build_id} is its id")
        (folder / ".next/BUILD_ID").write_text(build_id)
        (static / "latest").symlink_to(build_id)
        into = tmp_path / f"{build_id}.tar.gz"
        write_archive(folder, into, "app", MOMENT, {build_id.encode(): b"0123456789abcdef01234"})
        archives.append(into)

    with tarfile.open(archives[0]) as packed_one:
        names = packed_one.getnames()
        target = packed_one.getmember("app/.next/static/latest").linkname
        [new] = {packed_one.extractfile("app/.next/BUILD_ID").read().decode()}
    assert {f"app/.next/static/{new}/_buildManifest.js", f"app/.next/static/media/{new}.b.css"} <= {
        *names
    }
    assert target == new
    assert archives[0].read_bytes() == archives[1].read_bytes()


def test_entries_are_sorted_and_say_nothing_of_who_packed_them_and_when(tmp_path):
    content = packed(build(tmp_path / "one"), tmp_path / "1.tar.gz")

    with tarfile.open(tmp_path / "1.tar.gz") as archive:
        entries = archive.getmembers()
        made_in = archive.extractfile("kanvaro-v1.0.0/b.txt").read()
    names = [entry.name for entry in entries]
    assert names == sorted(names)
    assert {(e.uid, e.gid, e.uname, e.gname, e.mtime) for e in entries} == {(0, 0, "", "", MOMENT)}
    assert {oct(e.mode) for e in entries} == {"0o755", "0o644", "0o777"}
    assert made_in == b"b.txt made in /app"
    assert content[3:8] == b"\0" * 5, "gzip's header holds neither a name nor a time"


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "a/../../outside", "loop/.."])
def test_a_link_that_leads_out_is_refused(tmp_path, target):
    folder = build(tmp_path / "one")
    (folder / "loop").symlink_to("/")
    (folder / "bad").symlink_to(target)

    with pytest.raises(RequestRefused, match="leads out"):
        packed(folder, tmp_path / "1.tar.gz")


def test_what_is_no_file_is_refused(tmp_path):
    folder = build(tmp_path / "one")
    os.mkfifo(folder / "pipe")

    with pytest.raises(RequestRefused, match="neither a file"):
        packed(folder, tmp_path / "1.tar.gz")


def test_a_link_by_an_absolute_path_inside_becomes_relative(tmp_path):
    folder = build(tmp_path / "one")
    (folder / "a/absolute").symlink_to(folder / "b.txt")

    packed(folder, tmp_path / "1.tar.gz")

    with tarfile.open(tmp_path / "1.tar.gz") as archive:
        assert archive.getmember("kanvaro-v1.0.0/a/absolute").linkname == "../b.txt"


def test_a_build_of_any_depth_and_names_is_packed(tmp_path):
    folder = build(tmp_path / "one", (os.fsdecode(b"\xff"), "-rf", "a\nb", "x" * 255, "a/c.js"))
    with deep_file(folder, levels=150, name="d", text="deep"):
        packed(folder, tmp_path / "1.tar.gz")

    with tarfile.open(tmp_path / "1.tar.gz") as archive:
        found = archive.getnames()
    assert f"kanvaro-v1.0.0/{'d/' * 150}file" in found
    assert {"kanvaro-v1.0.0/-rf", "kanvaro-v1.0.0/a\nb"} <= set(found)


@pytest.mark.parametrize(("limit", "value"), [("LARGEST_BUILD", 5), ("MOST_ENTRIES", 2)])
def test_a_build_without_end_is_refused_before_it_is_read(tmp_path, monkeypatch, limit, value):
    monkeypatch.setattr(archive, limit, value)

    with pytest.raises(RequestRefused, match="the build has more than"):
        packed(build(tmp_path / "one"), tmp_path / "1.tar.gz")


def test_a_sparse_file_of_a_terabyte_is_refused_before_it_is_read(tmp_path):
    folder = build(tmp_path / "one")
    with (folder / "huge").open("wb") as sparse:
        sparse.truncate(1 << 40)

    with pytest.raises(RequestRefused, match="2 GiB"):
        packed(folder, tmp_path / "1.tar.gz")


@pytest.mark.parametrize(("levels", "name"), [(30, "d" * 150), (1_500, "d")])
def test_a_path_that_is_too_long_or_too_deep_is_refused(tmp_path, levels, name):
    folder = build(tmp_path / "one")
    refused = pytest.raises(RequestRefused, match="longer than 2000 bytes")
    with deep_file(folder, levels=levels, name=name, text=""), refused:
        packed(folder, tmp_path / "1.tar.gz")
