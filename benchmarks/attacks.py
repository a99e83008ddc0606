"""Count the attacks of the hostile application, and those that came through.

It runs the tests that let it attack, through a server, a worker and the webhook receiver.
"""

import re
import subprocess
import sys

from benchmarks.report import Measurement
from deployments import ROOT

TESTS = ("tests/flows/checks/test_worker.py", "-k", "hostile")
_FIGURE = re.compile(r"attacks_tried=(\d+) attacks_through=(\d+)")


def attacks() -> list[Measurement]:
    """Return both counts. Raises `RuntimeError` if the attacks could not be tried."""
    argv = [sys.executable, "-m", "pytest", "-q", *TESTS]
    ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    counted = [(int(tried), int(through)) for tried, through in _FIGURE.findall(ran.stdout)]
    if len(counted) != 2:
        raise RuntimeError(f"the attacks were not tried:\n{ran.stdout[-3000:]}")
    how = "by a check of main, and by a fork's pull request through the webhook"
    return [
        Measurement("attacks_tried", sum(tried for tried, _ in counted), how),
        Measurement("attacks_through", sum(through for _, through in counted), how, goal=0),
    ]
