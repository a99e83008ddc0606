"""A folder that a stranger filled is walked through whole, or refused."""

import os
from pathlib import Path

import pytest

from delivery.errors import RequestRefused
from tasks.workspace.folder_walk import DEEPEST, is_too_long, require_short, walk
from tests.bounds.deep_folders import deep_file


def names(folder):
    return [str(path) for path, _ in walk(folder)]


def test_a_folder_comes_before_its_content_and_the_content_by_name(tmp_path):
    for name in ("b/2", "b/10", "a", "c/d/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert names(tmp_path) == ["a", "b", "b/10", "b/2", "c", "c/d", "c/d/e"]


def test_links_are_not_followed(tmp_path):
    (tmp_path / "up").symlink_to("..")
    (tmp_path / "loop").symlink_to("loop")

    assert names(tmp_path) == ["loop", "up"]


@pytest.mark.parametrize("may_be_unreadable", [False, True])
def test_a_folder_that_cannot_be_read_is_no_empty_folder(tmp_path, may_be_unreadable):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").touch()
    found = walk(tmp_path, may_be_unreadable=may_be_unreadable)
    next(found)
    (tmp_path / "a").rmdir()

    if may_be_unreadable:
        assert [str(path) for path, _ in found] == ["b"]
    else:
        with pytest.raises(RequestRefused, match="the folder 'a' cannot be read"):
            next(found)


def test_what_is_deep_is_walked_through_up_to_the_limit(tmp_path):
    with deep_file(tmp_path, levels=DEEPEST - 1, name="d", text=""):
        *_, (last, _) = walk(tmp_path)

    assert last.name == "file"
    require_short(last)


@pytest.mark.parametrize(("levels", "name"), [(40, "d" * 150), (DEEPEST, "d"), (5_000, "d")])
def test_a_path_beyond_the_limits_is_shown_and_not_walked_into(tmp_path, levels, name):
    with deep_file(tmp_path, levels=levels, name=name, text=""):
        *_, (last, _) = walk(tmp_path)

    assert len(last.parts) <= DEEPEST + 1
    assert is_too_long(last)
    with pytest.raises(RequestRefused, match="is longer than 2000 bytes"):
        require_short(last)


@pytest.mark.parametrize("name", [b"\xff", b"-rf", b"a\nb", b"x" * 255])
def test_any_name_is_walked_through(tmp_path, name):
    (tmp_path / os.fsdecode(name)).touch()

    assert names(tmp_path) == [os.fsdecode(name)]
    require_short(Path(os.fsdecode(name)))
