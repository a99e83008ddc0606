"""Write release notes in Markdown, from commits that git-cliff has read and grouped.

Anybody may have written the subjects, scopes and authors: they are shown as text. No mention,
link, reference, image or HTML in them takes effect, neither on GitHub nor in Slack.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from delivery.errors import ConfigurationError
from delivery.json_reader import read_json
from delivery.text import LONGEST_SUBJECT, as_markdown, counted, plain

OTHERS = "Other changes"
# GitHub takes 125,000 characters, in which headings, remarks and a marker stand, too.
MOST_COMMITS = 300
LONGEST_LIST = 100_000
SHORT = 10
NO_SUBJECT = "(no subject)"


@dataclass(frozen=True)
class CommitChange:
    """A commit: its group, its subject, and its author."""

    revision: str
    group: str
    subject: str
    author: str
    is_breaking: bool = False


def read_changes(written: str) -> list[CommitChange]:
    """Read the commits that `git-cliff --context` wrote, the newest first.

    Raises `ConfigurationError` if it wrote something else.
    """
    try:
        releases = read_json(written)
        if not isinstance(releases, list):
            raise TypeError("no list of releases")
        commits = [commit for release in releases for commit in release["commits"]]
        return [_change(commit) for commit in reversed(commits)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"git-cliff wrote something else than commits: {error!r:.200}",
            hint="Run `make setup` for the version of git-cliff that is pinned, then run again.",
        ) from error


def notes(changes: Sequence[CommitChange], previous: str | None, remarks: Sequence[str]) -> str:
    """Write the notes; groups come in the order of their numbers in git-cliff's settings."""
    lines = [*(f"> {as_markdown(remark)}\n" for remark in remarks)]
    if not changes:
        lines.append(f"No commits since {previous}.\n" if previous else "No commits.\n")
    # What breaks is shown first, and so is left out last.
    ranked = _that_fit(sorted(changes, key=lambda each: not each.is_breaking))
    if breaking := [each for each in ranked if each.is_breaking]:
        lines += ["### Breaking changes\n", *map(_line, breaking), ""]
    shown = [each for each in ranked if not each.is_breaking]
    for group in sorted({each.group for each in shown}):
        lines.append(f"### {_title(group)}\n")
        lines += [*(_line(each) for each in shown if each.group == group), ""]
    if left := len(changes) - len(ranked):
        lines.append(f"… and {counted(left, 'more commit')}.\n")
    return "\n".join(lines)


def _that_fit(changes: Sequence[CommitChange]) -> list[CommitChange]:
    """Return the first changes, as many as fit into the notes."""
    sizes = accumulate(len(_line(each)) + 1 for each in changes[:MOST_COMMITS])
    return [each for each, size in zip(changes, sizes, strict=False) if size <= LONGEST_LIST]


def in_short(changes: Sequence[CommitChange]) -> list[str]:
    """Return the changes as plain lines, breaking changes first."""
    first = sorted(changes, key=lambda each: (not each.is_breaking, each.group))
    return [f"{'BREAKING: ' if each.is_breaking else ''}{each.subject}" for each in first]


def _change(commit: dict[str, Any]) -> CommitChange:
    group = str(commit.get("group") or f"9 {OTHERS}")
    scope = f"{commit['scope']}: " if commit.get("scope") else ""
    message = f"{scope}{commit['message']}"
    if _title(group) == OTHERS:
        # No heading says what stands before the colon here: `ABC-12: …`, `security: …`.
        message = str(commit.get("raw_message") or message)
    first = message.strip().splitlines() or [NO_SUBJECT]
    return CommitChange(
        revision=str(commit["id"]),
        group=group,
        subject=plain(first[0])[:LONGEST_SUBJECT],
        author=plain(str((commit.get("author") or {}).get("name") or "somebody")),
        is_breaking=bool(commit.get("breaking")),
    )


def _line(change: CommitChange) -> str:
    by = as_markdown(change.author)
    return f"- {as_markdown(change.subject)} (`{change.revision[:SHORT]}`, {by})"


def _title(group: str) -> str:
    return group.partition(" ")[2] or group
