"""Changes whose answer may be lost: what came of them is read, never guessed."""

import time
from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError

from delivery.aws_errors import Refusal
from delivery.errors import OutcomeUnknown
from tasks.aws_errors import classify

TRIES = 3
PAUSE_S = 0.5
UNCLEAR = "It may have been carried out all the same. Run again: it reads before it sends."


def confirm_write(
    change: Callable[[], object],
    is_done: Callable[[], bool],
    is_unclear: Callable[[Exception], bool],
    *,
    what: str,
) -> None:
    """Change what is not so yet; after an unclear answer look before sending again.

    `is_unclear` says of an exception that the change may have happened; any other one is raised.
    Raises `OutcomeUnknown`, naming `what`, if three tries left it undone.
    """
    said = "nothing was sent"
    for pause in (PAUSE_S,) * (TRIES - 1) + (0.0,):
        if is_done():
            return
        try:
            change()
        except Exception as error:
            if not is_unclear(error):
                raise
            said = type(error).__name__  # its text may quote what was sent
            time.sleep(pause)
        else:
            return
    if not is_done():
        raise OutcomeUnknown(f"{what}: it is not known to be so; last seen: {said}", hint=UNCLEAR)


def retry_until_answered(
    change: Callable[[], object], is_unclear: Callable[[Exception], bool], *, what: str
) -> None:
    """Change what nobody can read, and what is harmless to repeat, until it is answered."""
    confirm_write(change, lambda: False, is_unclear, what=what)


def aws_is_unclear(error: Exception) -> bool:
    """Whether AWS may have done what it gave no clear answer to, or would do it if asked again."""
    return isinstance(error, ClientError | BotoCoreError) and classify(error) in (
        Refusal.OUTCOME_UNKNOWN,
        Refusal.TRY_AGAIN,
        Refusal.BUSY,
    )
