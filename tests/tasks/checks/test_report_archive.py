"""Reports kept as archives: what goes in, what stays out, and for how long."""

import io
import os
import tarfile

import pytest

from tasks.checks.report_archive import archive_report, prune_reports


@pytest.fixture
def report(tmp_path):
    folder = tmp_path / "playwright-report"
    (folder / "data").mkdir(parents=True)
    (folder / "index.html").write_text("<html>")
    (folder / "data/shot.png").write_bytes(b"x" * 2000)
    return folder


def packed(folder):
    """A folder as the engine streams it: a tar archive, or None if there is none."""
    if not os.path.lexists(folder):
        return None
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(folder, folder.name)
    stream.seek(0)
    return stream


def contents(archive):
    with tarfile.open(archive.path) as file:
        return sorted(file.getnames())


def test_a_report_is_packed_whole_and_private(report, tmp_path):
    archive = archive_report(packed(report), tmp_path / "store", "run-1")

    assert contents(archive) == ["run-1/data/shot.png", "run-1/index.html"]
    assert (archive.files, archive.size, archive.left_out) == (2, 2006, None)
    assert archive.path.stat().st_mode & 0o777 == 0o600


def test_no_link_is_followed_nor_packed(report, tmp_path):
    (tmp_path / "secret").write_text("CANARY")
    os.symlink(tmp_path / "secret", report / "link")
    os.symlink("/etc", report / "folder")
    os.mkfifo(report / "pipe")

    archive = archive_report(packed(report), tmp_path / "store", "run-1")

    assert contents(archive) == ["run-1/data/shot.png", "run-1/index.html"]
    assert archive.left_out == "3 links or special files"


def test_the_folder_itself_may_not_be_a_link(tmp_path):
    os.symlink("/etc", tmp_path / "playwright-report")

    assert (
        archive_report(packed(tmp_path / "playwright-report"), tmp_path / "store", "run-1") is None
    )


def test_what_is_too_large_is_left_out_and_said(report, tmp_path):
    archive = archive_report(packed(report), tmp_path / "store", "run-1", largest=1024**2 // 1024)

    assert contents(archive) == ["run-1/index.html"]
    assert archive.left_out == "1 files beyond the limit of 0.000976562 MB"


def test_nothing_to_keep_leaves_no_archive(tmp_path):
    (tmp_path / "empty").mkdir()

    assert archive_report(packed(tmp_path / "empty"), tmp_path / "store", "run-1") is None
    assert archive_report(packed(tmp_path / "absent"), tmp_path / "store", "run-1") is None
    assert list((tmp_path / "store").iterdir()) == []


def test_a_report_of_the_same_run_replaces_the_former(report, tmp_path):
    archive_report(packed(report), tmp_path / "store", "run-1")
    (report / "index.html").unlink()
    archive = archive_report(packed(report), tmp_path / "store", "run-1")

    assert contents(archive) == ["run-1/data/shot.png"]
    assert len(list((tmp_path / "store").iterdir())) == 1


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "a\n", "-x"])
def test_a_name_cannot_lead_out_of_the_store(report, tmp_path, name):
    with pytest.raises(ValueError, match="not a name for an archive"):
        archive_report(packed(report), tmp_path / "store", name)


def test_old_archives_go_and_nothing_else_does(report, tmp_path):
    store = tmp_path / "store"
    old = archive_report(packed(report), store, "old").path
    young = archive_report(packed(report), store, "young").path
    (store / "notes.txt").write_text("keep me")
    now = young.stat().st_mtime
    os.utime(old, (now - 31 * 86400,) * 2)
    os.utime(young, (now - 29 * 86400,) * 2)
    os.utime(store / "notes.txt", (0, 0))

    assert prune_reports(store, now=now) == ["old"]
    assert prune_reports(store, now=now) == []
    assert sorted(path.name for path in store.iterdir()) == ["notes.txt", young.name]
    assert prune_reports(tmp_path / "absent") == []


def test_a_path_as_long_as_can_be_is_kept(tmp_path):
    deep = "d/" * 1500 + "file"
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(f"playwright-report/{deep}"))
    stream.seek(0)

    assert contents(archive_report(stream, tmp_path / "store", "run-1")) == [f"run-1/{deep}"]


def test_more_files_than_anybody_reads_are_left_out_and_said(report, tmp_path):
    archive = archive_report(packed(report), tmp_path / "store", "run-1", most=1)

    assert archive.files == 1
    assert archive.left_out == "1 files beyond the limit of 500 MB"
