"""Limit how long a message waits for Slack's rate limit."""

from slack_sdk.http_retry import HttpRequest, HttpResponse, RetryState
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

LONGEST_RATE_LIMIT_S = 30


class RateLimit(RateLimitErrorRetryHandler):
    """Wait for Slack's rate limit, unless it asks for more than half a minute."""

    def _can_retry(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> bool:
        wait = {k.lower(): v for k, v in (response.headers if response else {}).items()}
        asked = str((wait.get("retry-after") or ["1"])[0])
        # Not a number of thousands of digits, either, which Python does not read.
        patient = asked.isdecimal() and len(asked) < 10 and int(asked) <= LONGEST_RATE_LIMIT_S
        return patient and bool(
            super()._can_retry(state=state, request=request, response=response, error=error)
        )
