"""Write the notes of a release from the commits since the previous version."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.checks.plan import CheckPlan
from delivery.release.notes import NO_SUBJECT, CommitChange, in_short, notes, read_changes
from delivery.release.tag import version_remark
from delivery.text import LONGEST_SUBJECT, plain, text_of
from delivery.workspace.package_json import read_package
from tasks import fact
from tasks.release.plan import package_path
from tasks.release.tag import Tagged
from tasks.workspace.checkout import Source
from tasks.workspace.committed import only_objects, read_committed
from tasks.workspace.git import run_git
from tasks.workspace.programs import answer_of
from tasks.workspace.workspace import Workspace

SETTINGS = Path(__file__).parents[2] / "delivery" / "release" / "git_cliff.toml"
TIMEOUT_S = 120


@dataclass(frozen=True)
class Notes:
    """The notes as Markdown, as plain lines, and the remarks that stand above them."""

    text: str
    lines: tuple[str, ...]
    remarks: tuple[str, ...]


@fact("what is new in {tagged}?")
def write_notes(
    environment: Environment, workspace: Workspace, tagged: Tagged, plan: CheckPlan
) -> Notes:
    """Group the commits since the previous version with git-cliff, and write the notes."""
    remarks = tuple(filter(None, [_of_package(tagged, plan)]))
    changes = _changes(workspace, tagged)
    before = tagged.previous.tag if tagged.previous else None
    text = notes(changes, before, remarks)
    for remark in remarks:
        get_run_logger().warning("%s", remark)
    create_markdown_artifact(text, key="release-notes", description=f"What is new in {tagged}")
    return Notes(text, tuple(in_short(changes)), remarks)


def _of_package(tagged: Tagged, plan: CheckPlan) -> str:
    path = package_path(plan)
    package = read_package(read_committed(tagged.source, path) or "{}", path)
    return version_remark(tagged.tag, package.version)


def _changes(workspace: Workspace, tagged: Tagged) -> list[CommitChange]:
    """Read the commits with git-cliff, before any program of the application has run on them."""
    before = tagged.previous
    wanted = f"{before.revision}..{tagged.revision}" if before else tagged.revision
    # It runs in an empty folder: the repository's own settings for git-cliff do not count.
    empty = workspace.home / "empty"
    empty.mkdir(exist_ok=True)
    argv = [
        *(str(Path(sys.executable).with_name("git-cliff")), "--offline", "--no-exec"),
        *("--config", str(SETTINGS), "--repository", str(tagged.source.folder)),
        *("--workdir", str(empty), "--context", "--", wanted),
    ]
    written = answer_of(argv, workspace, "git-cliff", folder=empty, timeout_s=TIMEOUT_S)
    return _with_subjects(read_changes(written), tagged.source)


def _with_subjects(changes: list[CommitChange], source: Source) -> list[CommitChange]:
    """Ask git for the subjects that git-cliff could not read: they say that they are not UTF-8."""
    unread = [each.revision for each in changes if each.subject == NO_SUBJECT]
    if not unread:
        return changes
    with only_objects(source) as (settings, extra):
        shown = run_git(
            *("log", "--no-walk=unsorted", "--encoding=UTF-8", "--format=%H %s", "--stdin"),
            settings=settings,
            extra=extra,
            stdin="\n".join(unread).encode(),
        )
    lines = [line.partition(" ") for line in text_of(shown).split("\n")]
    subjects = {revision: plain(subject)[:LONGEST_SUBJECT] for revision, _, subject in lines}
    return [
        replace(each, subject=subjects.get(each.revision) or each.subject)
        if each.subject == NO_SUBJECT
        else each
        for each in changes
    ]
