"""Run a program that is no check, such as git-cliff or npm, and read its standard output."""

from collections.abc import Sequence
from pathlib import Path

from prefect.logging import get_run_logger

from delivery.errors import ConfigurationError
from tasks.workspace.program_environment import program_environment
from tasks.workspace.programs import run_program
from tasks.workspace.workspace import Workspace

# The commits of a large project since its beginning have 20 MB.
LARGEST_ANSWER = 50_000_000


def answer_of(
    argv: Sequence[str], workspace: Workspace, name: str, *, folder: Path, timeout_s: float
) -> str:
    """Return what a program writes to its standard output; its standard error goes to the log.

    Raises `ConfigurationError` with its last lines if it fails, or if it writes more than 50 MB.
    """
    home = workspace.home / name
    variables = program_environment(home, workspace.cache)
    answer = home / "answer"
    outcome = run_program(
        argv,
        folder=folder,
        environment=variables,
        timeout_s=timeout_s,
        log=lambda line: get_run_logger().info("%s", line),
        full_log=workspace.logs / f"{name}.log",
        stop=lambda: workspace.stop_sign.exists() or _is_too_large(answer),
        answer=answer,
    )
    if _is_too_large(answer):
        raise ConfigurationError(
            f"{name} wrote more than {LARGEST_ANSWER // 10**6} MB, which is not read",
            hint="Run it by hand on the same revision to see what it writes.",
        )
    if not outcome.passed:
        last_lines = "\n".join(outcome.last_lines)
        raise ConfigurationError(f"{name} failed; its last lines:\n{last_lines}")
    return answer.read_text(errors="replace")


def _is_too_large(answer: Path) -> bool:
    return answer.exists() and answer.stat().st_size > LARGEST_ANSWER
