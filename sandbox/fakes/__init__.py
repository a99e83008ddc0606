"""Fake Slack, GitHub and Codecov services that record what they receive.

They speak the documented protocols on one loopback port, fail on demand, and show a person what
arrived: open `FakeServices.slack_page` in a browser.
"""

from sandbox.fakes.server import FakeServices

__all__ = ["FakeServices"]
