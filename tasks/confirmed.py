"""Confirm writes whose answer may be lost: read what became of them, never guess."""

import time
from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from prefect.logging import get_logger

from delivery.aws_errors import Refusal
from delivery.errors import DeliveryError, OutcomeUnknown
from tasks.aws_errors import classify

TRIES = 3
PAUSE_S = 0.5
UNCLEAR = "It may have been carried out all the same. Run again: it reads before it sends."

Seen = TypeVar("Seen")
_log = get_logger("prefect.flow_runs")


def confirm_write(
    seen: Seen,
    send: Callable[[Seen], Seen | None],
    read: Callable[[], Seen],
    is_done: Callable[[Seen], bool],
    is_unclear: Callable[[Exception], bool],
    *,
    unknown: Callable[[Seen, Exception | None], DeliveryError],
    tries: int = TRIES,
    pause_s: Callable[[int], float] = lambda _: 0.0,
) -> Seen:
    """Send what is missing until `is_done`; after an unclear answer read before sending again.

    `seen` is what was read just now, and the newest reading is returned. `send` returns what is
    there after it, or None where only `read` can tell. An exception that `is_unclear` leaves open
    whether the write was carried out; any other one is raised. `pause_s(n)` is the pause between
    the n-th send (from 0) and the reading that may lead to another one. After so many `tries`, the
    error is raised that `unknown` makes of the last reading and of what was unclear about it.
    """
    unclear: Exception | None = None
    for tried in range(tries):
        if is_done(seen):
            return seen
        now = unclear = None
        try:
            now = send(seen)
        except Exception as error:
            if not is_unclear(error):
                raise
            unclear = error
            # The text of an error that is not ours may quote what was sent.
            shown = error if isinstance(error, DeliveryError) else type(error).__name__
            _log.warning("no clear answer: %s", shown)
        if now is None and tried + 1 < tries:
            time.sleep(pause_s(tried))
        seen = read() if now is None else now
    if is_done(seen):
        return seen
    raise unknown(seen, unclear)


def ensure(
    change: Callable[[], object],
    is_done: Callable[[], bool],
    is_unclear: Callable[[Exception], bool],
    *,
    what: str,
) -> None:
    """Apply `change` unless `is_done`. After three tries raises `OutcomeUnknown`, naming `what`."""

    def send(_: bool) -> bool:
        change()
        return True

    def unknown(_: bool, error: Exception | None) -> OutcomeUnknown:
        said = type(error).__name__
        return OutcomeUnknown(f"{what}: it is not known to be so; last seen: {said}", hint=UNCLEAR)

    confirm_write(
        is_done(), send, is_done, bool, is_unclear, unknown=unknown, pause_s=lambda _: PAUSE_S
    )


def retry_until_answered(
    change: Callable[[], object], is_unclear: Callable[[Exception], bool], *, what: str
) -> None:
    """Apply a change that cannot be read back, and is harmless to repeat, until it is answered."""
    ensure(change, lambda: False, is_unclear, what=what)


def aws_error_is(*kinds: Refusal) -> Callable[[Exception], bool]:
    """Make a condition: an exception is an error of AWS of one of these kinds."""
    return lambda error: isinstance(error, ClientError | BotoCoreError) and classify(error) in kinds


# AWS may have carried out the request, or would do so if it were sent again.
aws_is_unclear = aws_error_is(Refusal.OUTCOME_UNKNOWN, Refusal.TRY_AGAIN, Refusal.BUSY)
