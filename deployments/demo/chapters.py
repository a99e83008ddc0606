"""The chapters of the demonstration: what each shows, what to expect, and its usual time."""

import os
import sys

# In their order; seconds on a machine with two processors that does nothing else.
CHAPTERS = {
    "a pull request is checked": ("each check runs in a container of its own", 75),
    "it is merged and goes live": ("no check runs twice; the image is built once", 70),
    "a release of it": ("an archive that anyone can build again, byte by byte", 45),
    "a bad version": ("expect ✗: it answers as not ready, and no user meets it", 45),
    "its repair, and back again": ("the traffic moves twice, and no request fails", 60),
    "secrets are rotated": ("and nobody who is signed in notices it", 30),
    "what is live now, and who was told": ("all is well, and Slack knows", 10),
}


def begin(name: str) -> None:
    """Print the heading of a chapter; in bold type where a person reads it."""
    what, seconds = CHAPTERS[name]
    number = list(CHAPTERS).index(name) + 1
    heading = f"{number} of {len(CHAPTERS)}: {name} — {what}"
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        heading = f"\x1b[1m{heading}\x1b[0m"
    print(f"\n{heading} (usually {seconds} s)\n", flush=True)
