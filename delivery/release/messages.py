"""Write the Slack messages about a release."""

from collections.abc import Sequence

from delivery.messages import Failure, Message, RunStatus, failure_message
from delivery.text import counted, duration, escaped

MOST_CHANGES = 15


def releasing(what: str, revision: str, by: str, run_url: str) -> Message:
    """Write the message that opens the thread, before anything is tested or built."""
    return Message(
        RunStatus.UNDER_WAY,
        f"{what}: being released from {revision[:10]}",
        (f"Tagged by {escaped(by)}",),
        (("run", run_url),),
    )


def released(
    what: str,
    how: str,
    changes: Sequence[str],
    remarks: Sequence[str],
    assets: Sequence[str],
    links: Sequence[tuple[str, str]],
    seconds: float,
) -> Message:
    """Write the last message: the notes in short, remarks, and the assets."""
    shown = [f"• {escaped(each)}" for each in changes[:MOST_CHANGES]]
    if len(changes) > MOST_CHANGES:
        shown.append(f"… and {counted(len(changes) - MOST_CHANGES, 'more change')}")
    lines = ["\n".join(shown) or "No changes since the previous version.", *map(escaped, remarks)]
    lines.append(f"Verified by downloading: {escaped(', '.join(assets))}")
    title = f"{what} {how}, after {duration(seconds)}"
    return Message(RunStatus.WELL, title, tuple(lines), tuple(links))


def release_failed(environment: str, failure: Failure, run_url: str) -> Message:
    """Write the message of the hook of a run that did not succeed."""
    return failure_message(f"{environment}: a release stopped", failure, run_url)
