"""Decide what an answer of GitHub means: wait, denied, refused, or fine."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from delivery.errors import AccessDenied, GitHubRefused, NotOnGitHub

# GitHub's advice for a secondary limit that names no time: at least a minute.
UNNAMED_WAIT_S = 60.0
_LIMIT = re.compile(r"rate limit|abuse detection", re.IGNORECASE)


@dataclass(frozen=True)
class GitHubAnswer:
    """An answer: status, headers by lower-case names, and of an error message and `errors`."""

    status: int
    headers: Mapping[str, str]
    message: str = ""
    errors: tuple[Any, ...] = ()


def wait_asked(answer: GitHubAnswer, now: float) -> float | None:
    """Return the seconds to wait before the request is sent again, if a rate limit refused it.

    A 403 is a rate limit only if it says so: most of them are missing permissions. `now` is the
    time, as `time.time` returns it.
    """
    used_up = answer.headers.get("x-ratelimit-remaining") == "0"
    says_so = used_up or "retry-after" in answer.headers or bool(_LIMIT.search(answer.message))
    if answer.status != 429 and not (answer.status == 403 and says_so):
        return None
    asked = answer.headers.get("retry-after", "")
    if asked.isdecimal():
        return float(asked)
    reset = answer.headers.get("x-ratelimit-reset", "")
    if used_up and reset.isdecimal():
        return max(float(reset) - now, 0) + 1
    return UNNAMED_WAIT_S


def denial(what: str, answer: GitHubAnswer) -> AccessDenied | None:
    """Return the error of a refused token, with the missing scope if GitHub names it.

    A token that lacks a scope gets 404, too, if GitHub hides that a private repository exists.
    """
    if answer.status == 401:
        return AccessDenied(
            f"GitHub does not accept the token ({what}): {answer.message or 'HTTP 401'}",
            hint="It may be expired or revoked. `make register` with GITHUB_TOKEN saves a new one.",
        )
    # Every answer to a fine-grained token names permissions; only scopes show what is missing.
    missing = missing_scope(answer.headers)
    if answer.status == 403 or (answer.status == 404 and missing):
        wanted = missing or missing_permission(answer.headers)
        return AccessDenied(
            f"GitHub denied {what}: the token lacks {wanted} ({answer.message or 'no message'})",
            hint="Give the token or the GitHub App that permission; docs/github.md lists all.",
        )
    return None


def missing_scope(headers: Mapping[str, str]) -> str:
    """Name the scope that a classic token lacks; empty if it lacks none.

    `X-Accepted-OAuth-Scopes` lists scopes of which one is enough, `X-OAuth-Scopes` the token's own.
    """
    enough = _listed(headers.get("x-accepted-oauth-scopes", ""))
    have = _listed(headers.get("x-oauth-scopes", ""))
    if enough and not set(enough) & set(have):
        shown = " or ".join(enough)
        return f"the scope {shown} (it has {', '.join(have) or 'none'})"
    return ""


def missing_permission(headers: Mapping[str, str]) -> str:
    """Name the permission that a fine-grained token or an App needs, in GitHub's own words.

    `X-Accepted-GitHub-Permissions` names sets of permissions, of which one is enough.
    """
    sets = [each.strip() for each in headers.get("x-accepted-github-permissions", "").split(";")]
    named = " or ".join(each for each in sets if each)
    return f"the permission {named}" if named else "a permission that it does not name"


def refusal(what: str, answer: GitHubAnswer) -> GitHubRefused | None:
    """Return the error of any other refusal, with what GitHub says is wrong."""
    if answer.status in (404, 410):
        return NotOnGitHub(f"GitHub has nothing for {what}: {answer.message or answer.status}")
    if 400 <= answer.status < 500:
        said = "; ".join(
            [answer.message or f"HTTP {answer.status}", *map(_described, answer.errors)]
        )
        codes = tuple(str(e["code"]) for e in answer.errors if isinstance(e, dict) and "code" in e)
        return GitHubRefused(f"GitHub refused {what}: {said}", codes=codes)
    return None


def _described(error: Any) -> str:
    if not isinstance(error, dict):
        return str(error)[:200]
    named = " ".join(str(error[k]) for k in ("resource", "field", "code") if k in error)
    return f"{named} {error.get('message', '')}".strip()[:200]


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
