"""Run the security scanners: the search for committed secrets, and Snyk."""

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from delivery.checks import secret_baseline
from delivery.checks.scan_readers import read_secret_scan, read_snyk, snyk_threshold
from delivery.checks.scans import ScannerReport, did_not_run
from delivery.errors import RequestRefused
from delivery.text import text_of
from tasks.containers.captured_output import ProgramOutcome
from tasks.workspace.folder_walk import require_short, walk
from tasks.workspace.programs import run_program

_SECRET_FINDER = Path(__file__).with_name("secret_finder.py")
BASELINE = Path(secret_baseline.BASELINE)
# The report on a lockfile of 3,000 packages has 1 MB.
LARGEST_ANSWER = 20_000_000


@dataclass(frozen=True)
class ScanContext:
    """What every scanner needs: the source, a private `logs` folder, and how it is stopped.

    `tree` is an export of the commit that no program of the application can have changed, `folder`
    the application's folder in it; `environment` is made by `tasks.workspace.program_environment`.
    """

    tree: Path
    logs: Path
    environment: Mapping[str, str]
    log: Callable[[str], None]
    folder: str = "."
    stop: Callable[[], bool] = lambda: False
    timeout_s: float = 300

    def ask(
        self, name: str, argv: tuple[str, ...], folder: Path, extra: Mapping[str, str] | None = None
    ) -> "Answered":
        """Run a scanner; return how it ended, and its standard output, unless that is too large."""
        answer = self.logs / f"{name}.answer"
        try:
            outcome = run_program(
                argv,
                folder=folder,
                environment={**self.environment, **(extra or {})},
                timeout_s=self.timeout_s,
                log=self.log,
                full_log=self.logs / f"{name}.log",
                stop=lambda: self.stop() or is_larger(answer, LARGEST_ANSWER),
                answer=answer,
            )
            if is_larger(answer, LARGEST_ANSWER):
                return Answered(outcome, "", is_too_large=True)
            return Answered(outcome, answer.read_text(errors="replace"))
        finally:
            answer.unlink(missing_ok=True)


class Answered(NamedTuple):
    """How a scanner ended, and what it answered, which is empty if it is too large."""

    outcome: ProgramOutcome
    text: str
    is_too_large: bool = False


def snyk(context: ScanContext, token: str, level: str = "moderate") -> ScannerReport:
    """Ask Snyk, whose CLI must be installed on this machine.

    Only that process gets the token, in its environment, and never a program that the application
    brings along.
    """
    program = shutil.which("snyk", path=_absolute_only(context.environment.get("PATH", os.defpath)))
    if program is None:
        return did_not_run("snyk", "there is a token, but no `snyk` on this machine")
    argv = (program, "test", "--json", f"--severity-threshold={snyk_threshold(level)}")
    secret = {"SNYK_TOKEN": token, "SNYK_DISABLE_ANALYTICS": "1"}
    answered = context.ask("snyk", argv, context.tree / context.folder, secret)
    if ended := cut_short(answered, context.timeout_s):
        return did_not_run("snyk", ended)
    return read_snyk(answered.text.replace(token, "[token]"), answered.outcome.exit_code)


def secret_scan(context: ScanContext) -> ScannerReport:
    """Look for secrets in every file of the commit.

    Lines marked `pragma: allowlist secret` and what `.secrets.baseline` lists are accepted.
    """
    try:
        files = list(regular_files(context.tree))
    except RequestRefused as error:
        return did_not_run("secrets", str(error))
    answered = search_for_secrets(context, files)
    if isinstance(answered, ScannerReport):
        return answered
    baseline = context.tree / BASELINE if BASELINE in files else None
    if baseline and is_larger(baseline, LARGEST_ANSWER):
        return did_not_run("secrets", f"{BASELINE} is larger than {LARGEST_ANSWER // 10**6} MB")
    return read_secret_scan(answered, text_of(baseline.read_bytes()) if baseline else None)


def search_for_secrets(context: ScanContext, files: Iterable[Path]) -> str | ScannerReport:
    """Return what `tasks/checks/secret_finder.py` wrote about files, or that it did not run."""
    listed = context.logs / "secrets.list"
    listed.write_bytes(b"".join(os.fsencode(path) + b"\0" for path in files))
    argv = (sys.executable, "-I", str(_SECRET_FINDER), str(listed.resolve()))
    answered = context.ask("secrets", argv, context.tree)
    listed.unlink()
    if ended := cut_short(answered, context.timeout_s):
        return did_not_run("secrets", ended)
    outcome = answered.outcome
    if outcome.exit_code != 0:
        last = outcome.last_lines[-1] if outcome.last_lines else "nothing"
        return did_not_run("secrets", f"it failed; its last line: {last}")
    return answered.text


def regular_files(tree: Path) -> Iterator[Path]:
    """Yield the files below `tree`, relative to it; links are neither followed nor listed.

    Raises `RequestRefused` for a path that is too long to be read.
    """
    for path, entry in walk(tree):
        require_short(path)
        if entry.is_file(follow_symlinks=False):
            yield path


def is_larger(file: Path, size: int) -> bool:
    return file.exists() and file.stat().st_size > size


def cut_short(answered: Answered, timeout_s: float) -> str | None:
    """Say why a scanner ended without a verdict; None if it did not."""
    outcome = answered.outcome
    if answered.is_too_large:
        return f"its answer is larger than {LARGEST_ANSWER // 10**6} MB"
    if outcome.timed_out:
        return f"no verdict within {timeout_s:g} s"
    if outcome.stopped:
        return "it was stopped"
    if outcome.exit_code == 127:
        return outcome.last_lines[-1] if outcome.last_lines else "it could not be started"
    return None


def _absolute_only(path: str) -> str:
    # A relative path would depend on the current folder, which may be the application's.
    return os.pathsep.join(part for part in path.split(os.pathsep) if Path(part).is_absolute())
