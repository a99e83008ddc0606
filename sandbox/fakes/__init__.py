"""A Slack, a GitHub and a Codecov that remember what they were told.

They speak their documented protocols on one loopback port, fail on demand, and show a person what
arrived: open `FakeServices.slack_page` in a browser.
"""

from sandbox.fakes.server import FakeServices

__all__ = ["FakeServices"]
