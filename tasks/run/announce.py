"""Slack gets one thread for each run, and is never a reason for a run to fail.

The first message stands in the channel and is brought up to date, so that the
channel alone says how every run ended; what happened on the way is below it.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from httpx import HTTPError
from prefect import State, get_client
from prefect.artifacts import create_link_artifact
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.futures import PrefectFuture
from prefect.logging import get_logger, get_run_logger
from prefect.states import Completed

from blocks.environment import Environment
from delivery.checks.plan import CheckReport
from delivery.deploy import messages
from delivery.messages import Message, Subject
from tasks import operation
from tasks.workspace.checkout import Source

THREAD = "slack-thread"
HOOK_LOGGER = "prefect.flow_runs"


class Posted(NamedTuple):
    """A message in Slack, by its channel and its time; the first of a run is its thread."""

    channel: str
    ts: str


@operation("announce: {message.headline}")
def announce(environment: Environment, message: Message, first: bool = False) -> State[None]:
    """Say something in the thread of this run; `first` opens the thread."""
    if first:
        return _said(open_thread(environment, message))
    return _said(tell(environment, this_run(), message))


# Announcements of this process that are still on their way, by run.
_on_their_way: dict[UUID, PrefectFuture[Any]] = {}
TO_ANNOUNCE_S = 30


def announce_beside(environment: Environment, message: Message, first: bool = False) -> None:
    """Announce without waiting for it: no slow Slack may hold up traffic."""
    _on_their_way[this_run()] = announce.submit(environment, message, first=first)


def await_announcements() -> None:
    """Wait for what is on its way, for at most 30 s, so that the last message comes last."""
    if on_its_way := _on_their_way.pop(this_run(), None):
        on_its_way.wait(TO_ANNOUNCE_S)


@operation("announce the start")
def announce_start(environment: Environment, source: Source) -> State[None]:
    """Open the thread of this run."""
    run_id = this_run()
    message = messages.started(subject(environment, source, run_id), source.subject, source.author)
    return _said(open_thread(environment, message))


def tell_thread(environment: Environment, message: Message) -> None:
    """Do what `announce` does, as part of another step."""
    _said(tell(environment, this_run(), message))


def _said(why_not: str | None) -> State[None]:
    """End an announcement; a Slack that does not answer is logged, and fails nothing."""
    if why_not is None:
        return Completed(message="delivered")
    get_run_logger().warning("Slack was not told: %s", why_not)
    return Completed(name="Not delivered", message=why_not)


@operation("announce: the checks passed")
def announce_checks(
    environment: Environment, source: Source, reports: Sequence[CheckReport]
) -> State[None]:
    """Say in the thread that what follows is the deployment."""
    run_id = this_run()
    verdicts = [(report.name, report.verdict) for report in reports]
    message = messages.proven(subject(environment, source, run_id), verdicts, seconds_so_far())
    return _said(tell(environment, run_id, message))


def seconds_so_far() -> float:
    """Return how long this run has taken until now."""
    context = FlowRunContext.get()
    return time.time() - context.start_time.timestamp() if context else 0.0


def subject(environment: Environment, source: Source, run_id: UUID) -> Subject:
    return Subject(environment.name, source.revision, source.ref, run_url(environment, run_id))


def run_url(environment: Environment, run_id: UUID) -> str:
    return f"{environment.ui_address.rstrip('/')}/runs/flow-run/{run_id}"


def open_thread(environment: Environment, message: Message) -> str | None:
    """Post the first message; return why it was not delivered, or None."""
    answer, why = _post(environment, message, None)
    if answer:
        _remember(environment, answer)
    return why or None


def tell(environment: Environment, run_id: UUID, message: Message) -> str | None:
    """Tell the thread of a run how it ended, and bring its first message up to date.

    The message goes to the channel if the run has no thread yet. Returns why it was not delivered,
    or None: a posted message counts as delivered, whatever became of the first one.
    """
    thread = _thread(run_id)
    answer, why = _post(environment, message, thread)
    if answer and thread and (stale := _update(environment, message.in_short, thread)):
        # Also called by hooks, where there is no logger of a run.
        get_logger(HOOK_LOGGER).warning("the thread's first message is as it was: %s", stale)
    return why or None


def post(environment: Environment, message: Message) -> str | None:
    """Post what belongs to no run; return why it was not delivered, or None."""
    return _post(environment, message, None)[1] or None


def _post(
    environment: Environment, message: Message, thread: Posted | None
) -> tuple[Posted | None, str]:
    client = environment.slack_client()
    if client is None:
        return None, "the environment has no Slack credentials"
    try:
        answer = client.chat_postMessage(
            channel=thread.channel if thread else environment.slack_channel,
            thread_ts=thread.ts if thread else None,
            text=message.text,
            blocks=message.blocks(),
            unfurl_links=False,
        )
        return Posted(answer["channel"], answer["ts"]), ""
    except Exception as error:  # whatever Slack's end sends, the run goes on
        return None, _why(error)


def _update(environment: Environment, message: Message, thread: Posted) -> str:
    client = environment.slack_client()
    try:
        if client:
            client.chat_update(
                channel=thread.channel, ts=thread.ts, text=message.text, blocks=message.blocks()
            )
    except Exception as error:  # as above
        return _why(error)
    return ""


def _remember(environment: Environment, posted: Posted) -> None:
    try:
        create_link_artifact(
            key=THREAD,
            link=_permalink(environment, posted),
            link_text="Slack thread",
            description=f"{posted.channel} {posted.ts}",
        )
    except (HTTPError, PrefectException) as error:
        get_run_logger().warning("the thread is not on record: %s", type(error).__name__)


def _permalink(environment: Environment, posted: Posted) -> str:
    if environment.slack_address:
        base = environment.slack_address.split("/api")[0]
        return f"{base}/slack#{posted.channel}-{posted.ts}"
    return f"https://slack.com/archives/{posted.channel}/p{posted.ts.replace('.', '')}"


def _why(error: Exception) -> str:
    """Describe the error without its request, which carries the token."""
    response = getattr(error, "response", None)
    said = response.get("error") if response is not None and hasattr(response, "get") else None
    return f"Slack answered {said}" if said else f"Slack does not answer ({type(error).__name__})"


def _thread(run_id: UUID) -> Posted | None:
    """Return the thread that `announce_start` opened for a run, from its artifact."""
    try:
        with get_client(sync_client=True) as client:
            found = client.read_artifacts(
                artifact_filter=ArtifactFilter(
                    flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]),
                    key=ArtifactFilterKey(any_=[THREAD]),
                )
            )
    except (HTTPError, PrefectException):
        return None  # then the message goes to the channel
    if not found or not found[-1].description:
        return None
    channel, ts = found[-1].description.split()
    return Posted(channel, ts)


def this_run() -> UUID:
    """Return the flow run that the current task belongs to."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("only steps of a run can be announced")
    return context.flow_run.id
