"""The security scanners: known vulnerabilities, and secrets that were committed."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from delivery.packages import Manager
from delivery.scan_readers import read_npm_audit, read_secret_scan, read_snyk, snyk_threshold
from delivery.scans import ScannerReport, did_not_run
from tasks.programs import Outcome, run_program
from tasks.source import Source, inside, read_committed, tracked_files

_SECRET_FINDER = Path(__file__).with_name("secret_finder.py")
_BASELINE = ".secrets.baseline"
# npm's own retries can outlast the time a check is given; in milliseconds.
_IMPATIENT = {
    "npm_config_fetch_retries": "2",
    "npm_config_fetch_retry_mintimeout": "500",
    "npm_config_fetch_retry_maxtimeout": "4000",
}


@dataclass(frozen=True)
class Bench:
    """What every scanner needs: the source, a private `logs` folder, and how to be stopped.

    `folder` is the application's place in the source; `environment` is that of
    `tasks.surroundings`.
    """

    source: Source
    logs: Path
    environment: Mapping[str, str]
    log: Callable[[str], None]
    folder: str = "."
    stop: Callable[[], bool] = lambda: False
    timeout_s: float = 300

    def ask(
        self, name: str, argv: tuple[str, ...], folder: Path, extra: Mapping[str, str] | None = None
    ) -> tuple[Outcome, str]:
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


def audit(
    bench: Bench, manager: Manager, level: str = "moderate", registry: str | None = None
) -> ScannerReport:
    """Ask the package manager which installed packages have known vulnerabilities.

    `registry` is the address of an advisory server, for this command alone.
    """
    argv = _audit_command(manager, level)
    if argv is None:
        why = f"what `{manager.name}` says about nothing and about a failure cannot be told apart"
        return did_not_run("npm-audit", why)
    place = inside(bench.source, manager.root)
    with TemporaryDirectory(dir=bench.logs, prefix="npm-audit-") as cache:
        # npm remembers advisories in its cache, also those of another server.
        extra = {**_IMPATIENT, "npm_config_cache": cache}
        if registry:
            extra |= {"npm_config_registry": registry, "YARN_REGISTRY": registry}
        outcome, answer = bench.ask("npm-audit", argv, place, extra)
    if ended := _cut_short(outcome, bench.timeout_s):
        return did_not_run("npm-audit", ended)
    return read_npm_audit(answer, level)


def snyk(bench: Bench, token: str, level: str = "moderate") -> ScannerReport:
    """Ask Snyk, whose CLI must be installed on this machine or by the application.

    The token is given to that process alone, in its environment.
    """
    folder = inside(bench.source, bench.folder)
    program = shutil.which("snyk", path=bench.environment.get("PATH", os.defpath))
    own = folder / "node_modules/.bin/snyk"
    if program is None and own.exists():
        program = str(own)
    if program is None:
        return did_not_run("snyk", "there is a token, but no `snyk` on this machine")
    argv = (program, "test", "--json", f"--severity-threshold={snyk_threshold(level)}")
    secret = {"SNYK_TOKEN": token, "SNYK_DISABLE_ANALYTICS": "1"}
    outcome, answer = bench.ask("snyk", argv, folder, secret)
    if ended := _cut_short(outcome, bench.timeout_s):
        return did_not_run("snyk", ended)
    return read_snyk(answer.replace(token, "[token]"), outcome.exit_code)


def secret_scan(bench: Bench) -> ScannerReport:
    """Look for secrets in every file that git tracks.

    Lines marked `pragma: allowlist secret` and what `.secrets.baseline` lists are accepted.
    """
    listed = bench.logs / "secrets.list"
    listed.write_bytes(b"".join(os.fsencode(path) + b"\0" for path in tracked_files(bench.source)))
    argv = (sys.executable, "-I", str(_SECRET_FINDER), str(listed.resolve()))
    outcome, answer = bench.ask("secrets", argv, bench.source.folder)
    listed.unlink()
    if ended := _cut_short(outcome, bench.timeout_s):
        return did_not_run("secrets", ended)
    if outcome.exit_code != 0:
        said = outcome.last_lines[-1] if outcome.last_lines else "nothing"
        return did_not_run("secrets", f"it failed; it said last: {said}")
    return read_secret_scan(answer, read_committed(bench.source, _BASELINE))


def _audit_command(manager: Manager, level: str) -> tuple[str, ...] | None:
    if manager.name == "npm":
        return (*manager.program, "audit", "--json", "--audit-level", level, "--loglevel=silent")
    if manager.name == "pnpm":
        return (*manager.program, "audit", "--json", "--audit-level", level)
    if manager.name == "yarn":
        return (*manager.program, "audit", "--json", "--level", level)
    return None


def _cut_short(outcome: Outcome, timeout_s: float) -> str | None:
    if outcome.timed_out:
        return f"no verdict within {timeout_s:g} s"
    if outcome.stopped:
        return "it was stopped"
    if outcome.exit_code == 127:
        return outcome.last_lines[-1] if outcome.last_lines else "it could not be started"
    return None
