"""Run the security scanners: the search for committed secrets, and Snyk."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from delivery.checks.scan_readers import read_secret_scan, read_snyk, snyk_threshold
from delivery.checks.scans import ScannerReport, did_not_run
from tasks.workspace.programs import ProgramOutcome, run_program

_SECRET_FINDER = Path(__file__).with_name("secret_finder.py")
_BASELINE = Path(".secrets.baseline")


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
    ) -> tuple[ProgramOutcome, str]:
        """Run a scanner; return how it ended, and its standard output."""
        answer = self.logs / f"{name}.answer"
        try:
            outcome = run_program(
                argv,
                folder=folder,
                environment={**self.environment, **(extra or {})},
                timeout_s=self.timeout_s,
                log=self.log,
                full_log=self.logs / f"{name}.log",
                stop=self.stop,
                answer=answer,
            )
            return outcome, answer.read_text(errors="replace")
        finally:
            answer.unlink(missing_ok=True)


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
    outcome, answer = context.ask("snyk", argv, context.tree / context.folder, secret)
    if ended := cut_short(outcome, context.timeout_s):
        return did_not_run("snyk", ended)
    return read_snyk(answer.replace(token, "[token]"), outcome.exit_code)


def secret_scan(context: ScanContext) -> ScannerReport:
    """Look for secrets in every file of the commit.

    Lines marked `pragma: allowlist secret` and what `.secrets.baseline` lists are accepted.
    """
    files = list(regular_files(context.tree))
    listed = context.logs / "secrets.list"
    listed.write_bytes(b"".join(os.fsencode(path) + b"\0" for path in files))
    argv = (sys.executable, "-I", str(_SECRET_FINDER), str(listed.resolve()))
    outcome, answer = context.ask("secrets", argv, context.tree)
    listed.unlink()
    if ended := cut_short(outcome, context.timeout_s):
        return did_not_run("secrets", ended)
    if outcome.exit_code != 0:
        last = outcome.last_lines[-1] if outcome.last_lines else "nothing"
        return did_not_run("secrets", f"it failed; its last line: {last}")
    accepted = (
        (context.tree / _BASELINE).read_text(errors="replace") if _BASELINE in files else None
    )
    return read_secret_scan(answer, accepted)


def regular_files(tree: Path) -> Iterator[Path]:
    """Yield the files below `tree`, relative to it; links are neither followed nor listed."""
    for parent, _, names in os.walk(tree):
        for path in (Path(parent, name) for name in names):
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(tree)


def cut_short(outcome: ProgramOutcome, timeout_s: float) -> str | None:
    """Say why a scanner ended without a verdict; None if it did not."""
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
