"""Run checkov on the AWS templates and the worker's Dockerfile; part of `make check`.

    python -m deployments.template_rules

checkov needs other package versions than Prefect, so it has a virtual environment of its own, from
deployments/aws/checkov.lock. It works offline: no key, no downloads. Each skip has its reason
beside the resource; a skip that skips nothing is a finding, too. The exit code is 0 without
findings, 1 with some, 2 if checkov did not check everything.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deployments import ROOT

CHECKOV = ROOT / ".venv-checkov" / "bin" / "checkov"
TEMPLATES = "deployments/aws/*.yaml"
DOCKERFILES = "deployments/*/Dockerfile"
KINDS = ("cloudformation", "dockerfile")
TO_CHECK_S = 120
SKIP = re.compile(r"^\s*(?:- id: |# checkov:skip=)(CKV\w+)", re.MULTILINE)


class NotCheckedError(Exception):
    """Raised if something was not checked."""


def findings(root: Path, program: Path = CHECKOV) -> list[str]:
    """Return a line for each finding in the checkout `root`, and for each skip of nothing.

    Raises `NotCheckedError` if a file was not read in time, or nothing in it was checked.
    """
    files = {
        f"/{path.relative_to(root)}": path.read_text()
        for pattern in (TEMPLATES, DOCKERFILES)
        for path in sorted(root.glob(pattern))
    }
    reports = _reports(root, files, program) if files else []
    failed, skipped, passed = (
        [each for report in reports for each in report["results"][kind]]
        for kind in ("failed_checks", "skipped_checks", "passed_checks")
    )
    seen = {each["repo_file_path"] for each in (*failed, *skipped, *passed)}
    if not files or files.keys() - seen:
        raise NotCheckedError(f"nothing was checked in {', '.join(files.keys() - seen) or root}")
    return [*(_line(each) for each in failed), *_needless(files, skipped)]


def _needless(files: Mapping[str, str], skipped: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each skip that a file has beyond the resources that need one."""
    written = Counter((path, name) for path, text in files.items() for name in SKIP.findall(text))
    used = {(each["repo_file_path"], each["check_id"], each["resource"]) for each in skipped}
    needed = Counter((path, name) for path, name, _ in used)
    for (path, name), more in sorted((written - needed).items()):
        of = f"{more} of {written[path, name]}"
        yield f"{path[1:]}: the skip of {name} skips nothing ({of}); remove it"


def _reports(root: Path, files: Mapping[str, str], program: Path) -> Sequence[Mapping[str, Any]]:
    """Return checkov's own reports, one for each kind of file."""
    if not program.exists():
        raise NotCheckedError(f"{program} is not there: `make check` installs it")
    try:
        ran = subprocess.run(
            [
                *(program, "--compact", "--skip-download", "--output", "json"),
                *("--framework", *KINDS),
                *("--file", *(path[1:] for path in files)),
            ],
            cwd=root,
            env={"PATH": os.environ["PATH"], "HOME": str(root / ".venv-checkov")},
            capture_output=True,
            text=True,
            timeout=TO_CHECK_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotCheckedError(f"it did not end within {TO_CHECK_S} s") from None
    try:
        output = json.loads(ran.stdout)
    except ValueError:
        last = (ran.stdout + ran.stderr)[-2000:]
        raise NotCheckedError(f"it printed no JSON but {last}") from None
    reports = output if isinstance(output, list) else [output]
    if any("results" not in each for each in reports):
        raise NotCheckedError(f"nothing was checked in {', '.join(files)}")
    if broken := [name for each in reports for name in each["results"]["parsing_errors"]]:
        raise NotCheckedError(f"it could not read {', '.join(broken)}")
    return reports


def _line(found: Mapping[str, Any]) -> str:
    location = f"{found['repo_file_path'][1:]}:{found['file_line_range'][0]}"
    return f"{location}: {found['resource']}: {found['check_id']}: {found['check_name']}"


def main() -> int:
    """Print what checkov found, and return the exit code."""
    try:
        found = findings(ROOT)
    except NotCheckedError as reason:
        print(f"checkov did not check everything: {reason}")
        return 2
    print("\n".join(found) or "checkov found nothing in deployments")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
