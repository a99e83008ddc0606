"""Decide whether a lockfile covers a folder: one that it lists, or one of its root's workspaces.

Patterns of workspaces: https://docs.npmjs.com/cli/using-npm/workspaces and
https://classic.yarnpkg.com/en/docs/workspaces.
"""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from delivery.json_reader import read_json
from delivery.workspace.lockfiles.locked import table

_LONGEST_PATTERN = 200
_MOST_PATTERNS = 200
# What is not read here counts as covering: the package manager itself knows better.
_MORE_THAN_STARS = re.compile(r"[\[\](){}!+@]")
_IMPORTERS = "importers:"


def is_workspace(folder: str, patterns: Sequence[str]) -> bool:
    """Return whether a folder, relative to the root, is one of its workspaces."""
    kept = [each for each in patterns[:_MOST_PATTERNS] if len(each) <= _LONGEST_PATTERN]
    excluded = any(_matches(folder, each[1:]) for each in kept if each.startswith("!"))
    return not excluded and any(_matches(folder, each) for each in kept if each[:1] != "!")


def lists_folder(lockfile: str, text: str, folder: str) -> bool:
    """Return whether a lockfile of this name lists a folder, relative to its own."""
    if lockfile.endswith(".json"):
        try:
            return folder in table(table(read_json(text)).get("packages"))
        except ValueError:
            return False
    if lockfile == "pnpm-lock.yaml":
        # As pnpm writes it, which indents each folder by two blanks. What it uses itself comes
        # before.
        within = text.rpartition(f"\n{_IMPORTERS}")[2]
        return any(f"\n  {key}:" in within for key in (folder, f"'{folder}'", f'"{folder}"'))
    return f'@workspace:{folder}"' in text


def _matches(folder: str, pattern: str) -> bool:
    wanted = [part for part in pattern.split("/") if part not in ("", ".")]
    if any(_MORE_THAN_STARS.search(part) for part in wanted):
        return True
    return _match(folder.split("/"), wanted)


def _match(parts: list[str], wanted: list[str]) -> bool:
    """Match part by part; `**` stands for any number of them."""
    ends = {0}
    for each in wanted:
        if each == "**":
            ends = set(range(min(ends), len(parts) + 1)) if ends else set()
        else:
            ends = {end + 1 for end in ends if end < len(parts) and fnmatchcase(parts[end], each)}
    return len(parts) in ends
