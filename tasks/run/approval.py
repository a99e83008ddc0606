"""Approval asks a person, and keeps who agreed and why."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass

from httpx import HTTPError
from prefect import get_client, pause_flow_run
from prefect.exceptions import FlowPauseTimeout, PrefectException
from prefect.input import RunInput
from prefect.logging import get_run_logger
from pydantic import Field

from delivery.errors import DeliveryError
from delivery.messages import Message
from tasks.run.announce import announce, this_run
from tasks.run.lock import DeployLock

LOOK_AGAIN_S = 1
# Prefect waits so much longer than we do, so that the last word is ours.
GRACE_S = 60


class ConsentForm(RunInput):
    """The form that the Prefect UI shows at `Resume`."""

    go_on: bool = Field(default=False, description="Whether the run may go on.")
    who: str = Field(min_length=1, max_length=80, description="Your name.")
    why: str = Field(min_length=1, max_length=300, description="Why you decide so.")


@dataclass(frozen=True)
class Consent:
    """Consent is the answer to a question: whether a person agreed, and in which words."""

    is_given: bool
    words: str = ""

    def __str__(self) -> str:
        return self.words or "nobody agreed"


def ask_consent(lock: DeployLock, message: Message, question: str) -> Consent:
    """Ask in the Prefect UI and in Slack, and wait for an answer. Silence is a no.

    The ledger keeps the answer with the reason of this run.
    """
    policy = lock.environment.policy
    announce(lock.environment, message)
    try:
        with _answered_in_time(lock):
            answer = pause_flow_run(
                wait_for_input=ConsentForm.with_initial_data(description=question),
                timeout=math.ceil(policy.ask_timeout_s) + GRACE_S,
                poll_interval=LOOK_AGAIN_S,
            )
    except FlowPauseTimeout:
        get_run_logger().warning("nobody answered within %g s", policy.ask_timeout_s)
        return Consent(False)
    lock.ensure_held()
    verdict = "agreed" if answer.go_on else "refused"
    words = f"{answer.who} {verdict}: {answer.why}"
    lock.note(words)
    get_run_logger().info("%s", words)
    return Consent(answer.go_on, words)


@contextmanager
def _answered_in_time(lock: DeployLock) -> Iterator[None]:
    """Answer no in a person's place once time is up, or the deploy lock is lost or asked back.

    Prefect looks for nothing but an answer while a run is paused; and a pause that it lets run out
    ends the run in a state that hides our own reason.
    """
    over, run = threading.Event(), this_run()
    patience = lock.environment.policy.ask_timeout_s
    deadline = time.monotonic() + patience

    def why_no() -> str:
        try:
            lock.ensure_held()
        except DeliveryError as error:
            return str(error)[:300]
        return f"nobody answered in {patience:g} s" if time.monotonic() > deadline else ""

    def watch() -> None:
        while not over.wait(LOOK_AGAIN_S):
            if why := why_no():
                told = {"go_on": False, "who": "this run", "why": why}
                with suppress(HTTPError, PrefectException), get_client(sync_client=True) as client:
                    client.resume_flow_run(run, run_input=told)

    # Prefect's address and key are in the context, which a thread does not inherit.
    thread = threading.Thread(target=copy_context().run, args=(watch,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LOOK_AGAIN_S)
