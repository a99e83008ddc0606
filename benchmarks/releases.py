"""Measure the requests to GitHub of a release, and its duration.

It uses the tests' stand and an application that takes no time to test or build, so only the
pipeline's own time is left.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.report import Measurement
from tasks.github.api import calls
from tests.databases import throwaway_server
from tests.flows.conftest import Application
from tests.flows.release.releasing import Releasing
from tests.flows.stand import Stand


def releases() -> list[Measurement]:
    """Return all figures about releases."""
    with (
        throwaway_server(),
        Stand() as stand,
        TemporaryDirectory() as folder,
    ):
        releasing = Releasing(stand, Application(Path(folder) / "app"), Path(folder) / "workshop")
        releasing.commit()
        releasing.tag()
        releasing.ok(draft=True)  # so that npm and Prefect are warm from here on
        releasing.releases.clear()
        calls.clear()
        began = time.monotonic()
        releasing.ok()
        seconds = time.monotonic() - began
        releasing.assert_whole()
        total = sum(calls.values())
        by_method = ", ".join(f"{name} {count}" for name, count in calls.most_common())
    return [
        Measurement("release_github_calls", total, f"four assets, each verified: {by_method}"),
        Measurement(
            "release_github_s", seconds, "a trivial application, built and released", unit="s"
        ),
    ]
