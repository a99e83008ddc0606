"""Commits as people write them, read by git-cliff and grouped for the notes of a release."""

import os
import subprocess

import pytest
from prefect.logging import disable_run_logger

from delivery.release.notes import notes
from delivery.release.tag import read_tag
from tasks.release.notes import _changes
from tasks.release.tag import Tagged
from tasks.workspace.checkout import check_out
from tasks.workspace.workspace import Workspace

# Case of orhun/git-cliff#444, and more of its kind: what is written, under which heading, and how.
SUBJECTS = [
    ("Feat: a", "Features", "a"),
    ("FEATURE(UI): b", "Features", "UI: b"),
    ("Fix(api): b", "Fixes", "api: b"),
    ("bugfix: c", "Fixes", "c"),
    ("DOCS: c", "Documentation", "c"),
    ('Revert "feat: a"', "Reverts", 'Revert "feat: a"'),
    ("revert: feat: a", "Reverts", "feat: a"),
    ("Perf: d", "Performance", "d"),
    ("Chore(deps): e", "Internal", "deps: e"),
    ("fixtures: add users", "Other changes", "fixtures: add users"),
    ("perfect the layout", "Other changes", "perfect the layout"),
    ("ABC-12: login works again", "Other changes", "ABC-12: login works again"),
    ("security: bump x", "Other changes", "security: bump x"),
    ("document: f", "Other changes", "document: f"),
    ("docker: g", "Other changes", "docker: g"),
    ("testing the water", "Other changes", "testing the water"),
    ("https: serve it", "Other changes", "https: serve it"),
]
WHO = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]


class Committed:
    def __init__(self, folder):
        self.folder = folder
        self.git("init", "-qb", "main", str(folder), at=None)
        self.git(*WHO, "commit", "-q", "--allow-empty", "-m", "Begin")

    def git(self, *arguments, at="", stdin=None):
        where = [] if at is None else ["-C", str(self.folder)]
        subprocess.run(["git", *where, *arguments], check=True, input=stdin, capture_output=True)

    def commit(self, message, *settings):
        given = [*WHO, *settings, "commit", "-q", "--allow-empty", "-F", "-"]
        self.git(*given, stdin=message)

    def changes(self, work):
        names = ("source", "home", "logs", "mirrors", "cache", "reports")
        workspace = Workspace(run="r", owner="o", **{name: work / name for name in names})
        for name in names[1:]:
            (work / name).mkdir(parents=True)
        found = check_out(str(self.folder), None, "main", workspace.source, workspace.mirrors)
        with disable_run_logger():
            return _changes(workspace, Tagged(read_tag("v1.0.0"), "o", found, "Ada"))


@pytest.fixture
def committed(tmp_path):
    return Committed(tmp_path / "upstream")


def test_a_type_is_a_whole_word_in_any_case_and_an_unknown_one_keeps_its_words(committed, tmp_path):
    for subject, _, _ in SUBJECTS:
        committed.commit(subject.encode())

    changes = committed.changes(tmp_path / "work")

    found = [(each.group.partition(" ")[2], each.subject) for each in reversed(changes)]
    assert found == [("Other changes", "Begin"), *(tuple(each[1:]) for each in SUBJECTS)]
    text = notes(changes, None, [])
    order = ["Features", "Fixes", "Performance", "Reverts", "Documentation", "Internal", "Other"]
    places = [text.index(f"### {heading}") for heading in order]
    assert places == sorted(places)


def test_a_message_in_any_encoding_is_a_change_with_its_words(committed, tmp_path):
    committed.commit("fix: café\n\nraw".encode("latin-1"))
    committed.commit("café is open".encode("latin-1"), "-c", "i18n.commitEncoding=ISO-8859-1")

    last, before, _ = committed.changes(tmp_path / "work")

    assert (last.subject, before.subject) == ("café is open", "café")
    assert before.group == "1 Fixes"


@pytest.mark.parametrize(
    ("when", "seconds", "iso"),
    [
        ("1700000000 +9959", 1700000000, "2023-11-14T22:13:20+00:00"),
        ("1700000000 +2400", 1700000000, "2023-11-14T22:13:20+00:00"),
        ("9999999999999999 +0000", 0, "1970-01-01T00:00:00+00:00"),
        ("nonsense", 0, "1970-01-01T00:00:00+00:00"),
    ],
)
def test_a_commit_of_an_impossible_time_can_be_released(committed, tmp_path, when, seconds, iso):
    """Git makes no such commit; anybody else can."""
    (tree,) = os.fsencode(_output(committed, "write-tree")).split()
    who = f"Ada <ada@example.com> {when}".encode()
    content = b"tree " + tree + b"\nauthor " + who + b"\ncommitter " + who + b"\n\nfix: it\n"
    made = subprocess.run(
        [*_in(committed), "hash-object", "-t", "commit", "--literally", "-w", "--stdin"],
        input=content,
        capture_output=True,
        check=True,
    ).stdout.decode()
    committed.git("update-ref", "refs/heads/main", made.strip())

    found = check_out(
        str(committed.folder), None, "main", tmp_path / "source", tmp_path / "mirrors"
    )
    tagged = Tagged(read_tag("v1.0.0"), "o", found, "Ada")

    assert (tagged.moment, tagged.committed_at) == (seconds, iso)


def _in(committed):
    return ["git", "-C", str(committed.folder)]


def _output(committed, *arguments):
    return subprocess.run(
        [*_in(committed), *arguments], capture_output=True, text=True, check=True
    ).stdout
