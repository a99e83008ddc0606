"""Coverage: read the report that the tests wrote, and send it to Codecov."""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from delivery.checks.coverage import Coverage
from delivery.checks.lcov import read_records
from delivery.errors import CheckFailed
from delivery.text import text_of
from tasks.workspace.checkout import Source
from tasks.workspace.programs import run_program

LCOV = "coverage/lcov.info"
# Counting takes some ten times the memory of the text.
LARGEST_LCOV = 10 * 1024 * 1024

_SLUG = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)


def read_lcov(content: bytes | None, path: str, folder: str, root: str) -> Coverage:
    """Read the lcov report `content`, which tests wrote to `path` in the application's `folder`.

    `root` is the folder of the repository; both are as the tests saw them. Raises `CheckFailed`
    when there is no report, or when it is empty, cut off or malformed: no figure is better than a
    wrong one.
    """
    if content is None:
        raise _unreadable(path, "was not written")
    if len(content) > LARGEST_LCOV:
        raise _unreadable(path, f"is larger than {LARGEST_LCOV // 1024**2} MB")
    try:
        return read_records(text_of(content), folder, root)
    except ValueError as error:
        raise _unreadable(path, str(error)) from None


def upload_coverage(
    source: Source,
    lcov: bytes,
    slug: str,
    token: str,
    *,
    environment: Mapping[str, str],
    logs: Path,
    log: Callable[[str], None],
    base_url: str | None = None,
    stop: Callable[[], bool] = lambda: False,
    timeout_s: float = 120,
) -> str | None:
    """Send the report `lcov` to Codecov for the repository `slug`; return a warning, or None.

    Codecov decides nothing: its failure never fails a run, and is only reported. The token is in
    the environment of that process only; `base_url` replaces Codecov's address.
    """
    if not _SLUG.fullmatch(slug):
        return f"coverage was not sent to Codecov: {slug!r} is not of the form owner/name"
    settings = logs / "codecov.yml"
    settings.write_text("{}\n")
    report = logs / "lcov.info"
    report.write_bytes(lcov)
    argv = [
        *(str(Path(sys.executable).with_name("codecovcli")), "--disable-telem"),
        *(["--enterprise-url", base_url] if base_url else []),
        *("--auto-load-params-from", "local", "--codecov-yml-path", str(settings.resolve())),
        *("upload-process", "--fail-on-error", "--disable-search", "--plugin", "noop"),
        *("--git-service", "github", "--slug", slug, "--commit-sha", source.revision),
        *("--branch", source.ref.split("/", 2)[2]),
        *("--network-root-folder", str(source.folder)),
        *("--file", report.name),
    ]
    outcome = run_program(
        argv,
        # Its name, and not its place on this worker, is sent along.
        folder=logs,
        environment={**environment, "CODECOV_TOKEN": token},
        timeout_s=timeout_s,
        log=lambda line: log(line.replace(token, "[token]")),
        full_log=logs / "codecov.log",
        stop=stop,
    )
    settings.unlink()
    report.unlink()
    if outcome.passed:
        return None
    if outcome.timed_out:
        return f"coverage was not sent to Codecov: no answer within {timeout_s:g} s"
    reason = _last_complaint(outcome.last_lines).replace(token, "[token]")
    return f"coverage was not sent to Codecov (exit code {outcome.exit_code}): {reason}"


def _last_complaint(lines: tuple[str, ...]) -> str:
    complaints = [line for line in lines if re.match(r"(?:error|warning) - |Error", line)]
    last = (complaints or [line for line in lines if line] or ["it said nothing"])[-1]
    return re.sub(r"^(\w+) - [\d:, -]+ -- ", "", last)[:300]


def _unreadable(path: str, why: str) -> CheckFailed:
    return CheckFailed(
        f"the coverage report {path} {why}",
        hint="Let `test:coverage` write lcov (reporter `lcov`) to coverage/lcov.info.",
    )
