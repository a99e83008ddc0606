"""Accept what the secret scan finds in a repository on this machine: write its `.secrets.baseline`.

    make secrets-baseline REPOSITORY=path

The files that git tracks are searched as they are in the folder. The file holds digests and
places, no secrets; it is to be read, and committed.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from delivery.checks.scan_readers import is_example, secret_report
from delivery.checks.scans import ScannerReport
from delivery.checks.secret_baseline import accepted_by, baseline_of
from delivery.errors import ConfigurationError, RequestRefused, ScannerDidNotRun
from delivery.text import counted, plain, text_of
from deployments.demo.terminal import run_command
from deployments.run_progress import tell
from tasks.checks.scanners import BASELINE, ScanContext, search_for_secrets
from tasks.workspace.git import GitFailed, run_git, write_settings
from tasks.workspace.program_environment import program_environment


def main() -> int:
    if not os.environ.get("REPOSITORY"):
        print(f"usage: make secrets-baseline REPOSITORY=path\n\n{__doc__}", file=sys.stderr)
        return 2
    return run_command(
        "secrets-baseline",
        lambda: write_baseline(Path(os.environ["REPOSITORY"]).expanduser()),
        interrupted="nothing was written",
    )


def write_baseline(folder: Path) -> str:
    """Search a repository, list what is new, and write the baseline; return a sentence."""
    with TemporaryDirectory(prefix="kanvaro-baseline-") as own:
        top = _top(folder, Path(own))
        found = secret_report(_searched(top, Path(own))).found
    baseline = top / BASELINE
    if baseline.is_symlink():
        raise RequestRefused(f"{baseline} is a link, and what it leads to is not written")
    before = text_of(baseline.read_bytes()) if baseline.is_file() else None
    try:
        known = accepted_by(before)
        text = baseline_of(found, before)
    except ValueError as error:
        raise ConfigurationError(
            f"{baseline} cannot be read: {error}", hint="Mend or delete it, then run again."
        ) from error
    new = [each for each in found if (each.file, each.digest) not in known]
    for each in new:
        where = "in a test or example" if is_example(each.file) else "LOOK: this may be real"
        tell(f"  {plain(each.file)}:{each.line}: {each.kind} ({where})")
    baseline.write_text(text)
    return (
        f"{baseline} accepts {counted(len(new), 'new find')}; revoke what is real, take it out "
        "again, and commit the rest"
    )


def _top(folder: Path, own: Path) -> Path:
    try:
        settings = write_settings(own / "settings")
        shown = run_git("-C", str(folder), "rev-parse", "--show-toplevel", settings=settings)
    except GitFailed as error:
        raise RequestRefused(
            f"{folder} is no folder of a git repository: {plain(str(error))}",
            hint="Give the path of a clone: REPOSITORY=path.",
        ) from None
    return Path(os.fsdecode(shown.removesuffix(b"\n")))


def _searched(top: Path, own: Path) -> str:
    listed = run_git("ls-files", "-z", folder=top, settings=own / "settings")
    files = [Path(os.fsdecode(name)) for name in listed.split(b"\0") if name]
    environment = program_environment(own / "home", own / "cache")
    context = ScanContext(top, own, environment, log=lambda line: tell(f"  {line}"))
    answered = search_for_secrets(context, files)
    if isinstance(answered, ScannerReport):
        raise ScannerDidNotRun(f"secrets: {answered.summary}")
    return answered


if __name__ == "__main__":
    sys.exit(main())
