"""Measure the requests to GitHub of a pull request, and their duration.

It uses the sandbox's GitHub and checks that take no time, so everything else is measured.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from benchmarks.report import Measurement
from sandbox.fakes import FakeServices
from tasks.github import api
from tests.databases import throwaway_server
from tests.flows.conftest import Application
from tests.flows.github.pull_request_crashes import prepared
from tests.flows.github.pulling import Pulling


def pull_requests() -> list[Measurement]:
    """Count the calls to GitHub of a pull request with five checks and a comment, and time them."""
    spent: list[float] = []
    once = api.GitHub._once

    def timed(*args, **more):  # type: ignore[no-untyped-def]
        began = time.monotonic()
        try:
            return once(*args, **more)
        finally:
            spent.append(time.monotonic() - began)

    with (
        TemporaryDirectory() as folder,
        throwaway_server(),
        FakeServices() as fakes,
        patch.object(api.GitHub, "_once", timed),
    ):
        app = Application(Path(folder) / "app")
        app.commit()
        pulls = Pulling(fakes, app, Path(folder) / "workshop")
        number, revision = prepared(pulls, app, "change")
        pulls.hub.calls.clear()
        began = time.monotonic()
        pulls.ok(number, revision)
        wall = time.monotonic() - began
        # The request for the App's token uses another client.
        counted = [call for call in pulls.hub.calls if "/access_tokens" not in call.path]
        checks = len(pulls.states(revision)) - 1
    if len(counted) != len(spent):
        raise AssertionError(f"GitHub was asked {len(counted)} times, but we counted {len(spent)}")
    posts = sum(call.method == "POST" for call in counted)
    how = f"{checks} checks, three statuses each, and a comment: {posts} of them write"
    return [
        Measurement("pull_request_github_calls", len(counted), how),
        Measurement(
            "pull_request_github_s", sum(spent), f"of {wall:.1f} s of the whole run", unit="s"
        ),
    ]
