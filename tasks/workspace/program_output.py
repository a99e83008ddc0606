"""Run a program that is no check, such as git-cliff or npm, and read its standard output."""

from collections.abc import Sequence
from pathlib import Path

from prefect.logging import get_run_logger

from delivery.errors import ConfigurationError
from tasks.workspace.program_environment import program_environment
from tasks.workspace.programs import run_program
from tasks.workspace.workspace import Workspace


def answer_of(
    argv: Sequence[str], workspace: Workspace, name: str, *, folder: Path, timeout_s: float
) -> str:
    """Return what a program writes to its standard output; its standard error goes to the log.

    Raises `ConfigurationError` with its last lines if it fails.
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
        stop=workspace.stop_sign.exists,
        answer=answer,
    )
    if not outcome.passed:
        last_lines = "\n".join(outcome.last_lines)
        raise ConfigurationError(f"{name} failed; its last lines:\n{last_lines}")
    return answer.read_text()
