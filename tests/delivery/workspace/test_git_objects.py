"""Names of git's objects, compared with those that git itself computes."""

import subprocess
from dataclasses import replace

import pytest

from delivery.errors import RequestRefused
from delivery.workspace.git_objects import (
    FILE,
    LINK,
    PROGRAM,
    CommittedFile,
    new_hash,
    require_plain_paths,
    tree_id,
)


@pytest.fixture(params=["sha1", "sha256"])
def git(request, tmp_path):
    def run(*arguments):
        command = ["git", "-C", str(tmp_path), *arguments]
        return subprocess.run(command, check=True, capture_output=True).stdout

    run("init", "--quiet", f"--object-format={request.param}")
    run.folder = tmp_path
    return run


def listed(git):
    git("add", "--all")
    files = []
    for entry in git("ls-files", "--stage", "-z").split(b"\0")[:-1]:
        about, path = entry.split(b"\t")
        mode, oid, _ = about.decode().split()
        files.append(CommittedFile(path, mode, oid))
    return files, git("write-tree").decode().strip()


def test_a_tree_has_the_name_that_git_gives_it(git):
    # Git sorts folders as if their names ended with a slash: a-b, a.b, a/, a0.
    for name in ("a-b", "a.b", "a0", "a/x", "a/b/y", "a/b.c", "z", "\u00e4", "a b"):
        path = git.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (git.folder / "z").chmod(0o755)
    (git.folder / "link").symlink_to("a/x")

    files, tree = listed(git)

    assert {file.mode for file in files} == {FILE, PROGRAM, LINK}
    assert tree_id(files, tree) == tree
    assert tree_id(files[1:], tree) != tree
    assert tree_id([replace(files[0], mode=PROGRAM), *files[1:]], tree) != tree


def test_content_has_the_name_that_git_gives_it(git):
    (git.folder / "x").write_bytes(b"hello")
    [file], _ = listed(git)

    content = new_hash(file.oid)
    content.update(b"blob 5\0hello")

    assert content.hexdigest() == file.oid


@pytest.mark.parametrize(
    "path",
    [
        *(b"../out", b"a/../../out", b"/etc/passwd", b"a//b", b".git/config", b"a/.GIT/hooks/x"),
        *(b".", b"a" * 256, b"/".join([b"a" * 200] * 16), b"a/" * 200 + b"b"),
    ],
)
def test_a_path_that_no_checkout_can_hold_is_refused(path):
    with pytest.raises(RequestRefused, match="no checkout can hold"):
        require_plain_paths([CommittedFile(path, FILE, "0" * 40)])


@pytest.mark.parametrize(
    "paths", [[b"a", b"a/b"], [b"a/b", b"a"], [b"a", b"a"]], ids=["link first", "last", "twice"]
)
def test_a_name_that_is_a_link_and_a_folder_is_refused(paths):
    """What is written below such a folder would land where the link leads."""
    with pytest.raises(RequestRefused, match="no checkout can hold"):
        require_plain_paths([CommittedFile(path, LINK, "0" * 40) for path in paths])


def test_ordinary_paths_are_accepted():
    require_plain_paths(
        CommittedFile(path, FILE, "0" * 40) for path in (b".gitignore", b"a/b", b"a/c", b"a.git/d")
    )
