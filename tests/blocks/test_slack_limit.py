"""How long a message waits for Slack's rate limit, whatever Slack's end asks for."""

import pytest
from slack_sdk.http_retry import HttpRequest, HttpResponse, RetryState

from blocks.slack_limit import RateLimit


@pytest.mark.parametrize(
    ("asked", "waits"),
    [("1", True), ("30", True), ("31", False), ("9" * 5_000, False), ("1e9", False), ("", False)],
)
def test_a_wait_is_as_long_as_is_asked_for_or_none(asked, waits):
    response = HttpResponse(status_code=429, headers={"Retry-After": [asked]})
    request = HttpRequest(method="POST", url="https://slack.com", headers={})

    assert RateLimit().can_retry(state=RetryState(), request=request, response=response) is waits
