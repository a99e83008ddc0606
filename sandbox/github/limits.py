"""Enforce the primary rate limit: how many requests are left, and until when.

Protocol: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

import time
from dataclasses import dataclass, field
from typing import Any

from sandbox.github.words import Refused

PER_HOUR = 5000
HOUR_S = 3600


@dataclass
class RateLimits:
    """One limit for all tokens. Answers with 304 and requests for the limits do not count."""

    limit: int = PER_HOUR
    used: int = 0
    ends: float = field(default_factory=lambda: time.time() + HOUR_S)

    def leave(self, requests: int, *, seconds: float = HOUR_S) -> None:
        """Allow this many further requests until so many seconds have passed."""
        self.used, self.ends = self.limit - requests, time.time() + seconds

    def count(self) -> None:
        """Count one request; raises Refused if none is left."""
        self._begin_anew()
        if self.used >= self.limit:
            raise Refused(403, "API rate limit exceeded for installation ID 1.")
        self.used += 1

    def give_back(self) -> None:
        self.used = max(self.used - 1, 0)

    def forget(self) -> None:
        self.limit, self.used, self.ends = PER_HOUR, 0, time.time() + HOUR_S

    def as_json(self) -> dict[str, int]:
        self._begin_anew()
        return {
            "limit": self.limit,
            "used": self.used,
            "remaining": self.limit - self.used,
            "reset": int(self.ends),
        }

    def overview(self) -> dict[str, Any]:
        core = self.as_json()
        others = {"search": core | {"limit": 30, "used": 0, "remaining": 30}}
        return {"resources": {"core": core, **others}, "rate": core}

    def headers(self) -> dict[str, str]:
        headers = {
            f"X-RateLimit-{name.title()}": str(value) for name, value in self.as_json().items()
        }
        return headers | {"X-RateLimit-Resource": "core"}

    def _begin_anew(self) -> None:
        if self.ends <= time.time():
            self.used, self.ends = 0, time.time() + HOUR_S
