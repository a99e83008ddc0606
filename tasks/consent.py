"""Asking a person, and remembering who agreed and why."""

from prefect import pause_flow_run
from prefect.exceptions import FlowPauseTimeout
from prefect.input import RunInput
from prefect.logging import get_run_logger
from pydantic import Field

from delivery.errors import RequestRefused
from tasks.news import announce_question
from tasks.turn import Turn
from tasks.versions import Version


class Consent(RunInput):
    """The form that the Prefect UI shows at `Resume`."""

    go_on: bool = Field(default=False, description="Whether the new version may go on.")
    who: str = Field(min_length=1, max_length=80, description="Your name.")
    why: str = Field(min_length=1, max_length=300, description="Why you decide so.")


def agreed(turn: Turn, version: Version, question: str) -> bool:
    """Ask in the Prefect UI and in Slack, and wait; whether a person agreed. Silence is a no."""
    policy = turn.environment.policy
    announce_question(turn, version, question)
    try:
        answer = pause_flow_run(
            wait_for_input=Consent.with_initial_data(description=question),
            timeout=int(policy.ask_timeout_s),
            poll_interval=2,
        )
    except FlowPauseTimeout:
        get_run_logger().warning("nobody answered within %g s", policy.ask_timeout_s)
        return False
    turn.demand()
    verdict = "agreed" if answer.go_on else "refused"
    turn.note(f"{answer.who} {verdict}: {answer.why}")
    get_run_logger().info("%s %s: %s", answer.who, verdict, answer.why)
    return answer.go_on


def ask_before_shift(turn: Turn, version: Version) -> None:
    """Ask for consent where the policy wants it. Raises `RequestRefused` without it.

    Nobody is asked about a rollback: a person has just asked for it.
    """
    if not turn.environment.policy.approval or turn.holder.kind == "rollback":
        return
    if not agreed(turn, version, f"{version} is proven and waits for its traffic. Shift it?"):
        raise RequestRefused(
            f"nobody agreed that {version} gets traffic",
            hint="Run `blue-green` again when it may: it is proven, and starts at once.",
        )
