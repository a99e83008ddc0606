"""Kill runs of `pull-request` at any of their calls to GitHub.

Such a run is a real one under Prefect's engine, but once it is dead nothing of it reaches GitHub,
not even its hooks, as if its whole machine were gone.
"""

from contextlib import contextmanager, suppress
from unittest.mock import patch

from tasks.github import api
from tests.flows.deploy.crashes import Killed
from tests.flows.github.pulling import COVERED, branch, files


@contextmanager
def as_process(process):
    """Send everything for GitHub through `process`."""
    whole = api.whole_answer

    def sent(http, method, address, *limits, **more):
        name = f"{method} {address.rpartition('/kanvaro/kanvaro/')[2]}"
        return process.send(name, None, lambda _: whole(http, method, address, *limits, **more))

    with patch.object(api, "whole_answer", sent):
        yield process


def live(pulls, number, revision, process):
    """Run as that process, until it ends or dies."""
    with as_process(process), suppress(Killed):
        pulls.run(number, revision)
    return process


def prepared(pulls, app, name):
    """Open a pull request with coverage, on a branch of that name; its number and revision."""
    revision = branch(app, name, files=files(a=(1, 2)) | {"src/a.ts": name}, **COVERED)
    return pulls.open(name), revision


def wrong(pulls, number, revision):
    """Return what is wrong after a successful run."""
    states = pulls.states(revision)
    ours = [c for c in pulls.repository.comments if c.number == number]
    found = []
    if set(states.values()) != {"success"} or len(states) != 5:
        found.append(f"statuses {states}")
    if len(ours) != 1 or revision[:10] not in ours[0].body:
        found.append(f"{len(ours)} comments")
    return found
