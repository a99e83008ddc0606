"""Having something on GitHub exactly once, or not at all, though answers may be lost."""

from collections.abc import Callable
from typing import Any, TypeVar

from prefect.logging import get_logger

from delivery.errors import AnswerLost, GitHubRefused, NotOnGitHub

T = TypeVar("T")
_log = get_logger("prefect.flow_runs")


def settled(find: Callable[[], T | None], send: Callable[[], T]) -> T:
    """Have something on GitHub exactly once: found, or sent and, if its answer was lost, found.

    `find` reads and returns None where there is nothing. It is asked before the first sending and
    before the second, which is the last. Raises `AnswerLost` if that one is lost too.
    """
    if (there := find()) is not None:
        return there
    try:
        return send()
    except AnswerLost as lost:
        _log.warning("%s; looking whether it was done", lost)
    except GitHubRefused as refused:
        # Somebody was faster, or an earlier request of ours was carried out late.
        if "already_exists" not in refused.codes:
            raise
    if (there := find()) is not None:
        return there
    return send()


def gone(remove: Callable[[], Any]) -> None:
    """Remove something, which may be gone already; it is sent again if its answer was lost."""
    for last in (False, True):
        try:
            remove()
        except NotOnGitHub:
            return
        except AnswerLost:
            if last:
                raise
        else:
            return
