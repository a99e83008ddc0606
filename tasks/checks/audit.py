"""The audit: ask a registry which locked packages have known vulnerabilities.

The question is made from the committed lockfile alone. No package manager is asked, whose version
may know only end points that are gone, and which the code that is audited could steer.
"""

import os
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from delivery.checks.advisories import asked_about, described, judged, not_asked, questions
from delivery.checks.scans import ScannerReport
from delivery.errors import ConfigurationError, RequestRefused
from delivery.workspace.package_managers import Manager
from tasks.checks.advisory_registry import NotAnswered, registry_of
from tasks.checks.scanners import ScanContext, is_larger
from tasks.workspace.committed import LARGEST_FILE
from tasks.workspace.lockfile import read_lockfile


def audit(
    context: ScanContext, manager: Manager, level: str = "moderate", registry: str | None = None
) -> ScannerReport:
    """Ask which locked packages have known vulnerabilities: the `registry`, or else npm's own.

    What is needed for development is asked about, too, since it runs in the checks.
    """
    try:
        locked = read_lockfile(manager.lockfile or "", _lockfile(context, manager))
        asked, unknown = asked_about(locked)
        about = described(asked, unknown, locked.missing)
        found: dict[str, list[Mapping[str, Any]]] = {}
        if asked:
            asking = registry_of(context, registry)
            for question in questions(asked):
                found |= asking.ask(context, question)
            stand_in = ", a stand-in of this machine" if asking.was_stand_in else ""
            about += f" by {asking.host}{stand_in}"
    except (ConfigurationError, RequestRefused, NotAnswered) as error:
        return not_asked(str(error))
    return judged(asked, found, level, about)


def _lockfile(context: ScanContext, manager: Manager) -> str:
    """Return the text of the lockfile in the export of the commit, wherever a link leads there."""
    if manager.lockfile is None:
        raise RequestRefused("no lockfile is committed")
    path = posixpath.join(manager.root, manager.lockfile)
    tree = Path(os.path.realpath(context.tree))
    file = Path(os.path.realpath(tree / path))
    if not file.is_relative_to(tree) or not file.is_file():
        raise RequestRefused(f"there is no {manager.lockfile} in the commit")
    if is_larger(file, LARGEST_FILE):
        raise ConfigurationError(f"{manager.lockfile} is larger than {LARGEST_FILE // 10**6} MB")
    return file.read_text(errors="replace")
