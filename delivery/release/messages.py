"""What we say about a release."""

from collections.abc import Sequence

from delivery.messages import Failure, Message, Mood, stopped_early
from delivery.text import counted, duration, escaped

MOST_CHANGES = 15


def releasing(what: str, revision: str, by: str, run_url: str) -> Message:
    """Opens the thread, before anything is tested or built."""
    return Message(
        Mood.UNDER_WAY,
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
    """The last word: the notes in short, what was said on the way, and the assets."""
    shown = [f"• {escaped(each)}" for each in changes[:MOST_CHANGES]]
    if len(changes) > MOST_CHANGES:
        shown.append(f"… and {counted(len(changes) - MOST_CHANGES, 'more change')}")
    told = ["\n".join(shown) or "No changes since the version before.", *map(escaped, remarks)]
    told.append(f"Verified by downloading: {escaped(', '.join(assets))}")
    return Message(Mood.WELL, f"{what} {how}, after {duration(seconds)}", tuple(told), tuple(links))


def release_failed(environment: str, failure: Failure, run_url: str) -> Message:
    """Said by the hook of a run that did not end well."""
    return stopped_early(f"{environment}: a release stopped", failure, run_url)
