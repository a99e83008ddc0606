"""Decide what an answer of GitHub means: wait, denied, refused, or fine."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from delivery.errors import AccessDenied, GitHubRefused, NotOnGitHub
from delivery.text import shortened

# GitHub's advice for a secondary limit that names no time: at least a minute.
UNNAMED_WAIT_S = 60.0
# A wait of no time would ask again and again, without an end.
SHORTEST_WAIT_S = 1.0
_LIMIT = re.compile(r"rate limit|abuse detection", re.IGNORECASE)
_LACKS = re.compile(
    r"resource not accessible by|must have|permission|not authorized to|write access", re.IGNORECASE
)
_ERRORS_SHOWN, _LONGEST = 5, 200


@dataclass(frozen=True)
class _Reason:
    """A reason for a 403 that no permission of the token mends, as GitHub words it."""

    said: re.Pattern[str]
    what: str
    hint: str


# https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api
_REASONS = (
    _Reason(
        re.compile(r"archived", re.IGNORECASE),
        "the repository is archived",
        "Unarchive it in its settings on GitHub, or name another one in github_repository.",
    ),
    _Reason(
        re.compile(r"suspended", re.IGNORECASE),
        "the account or the installation of the App is suspended",
        "Ask the owner of the organization, or GitHub's support, to lift that.",
    ),
    _Reason(
        re.compile(r"saml|single sign.?on|\bsso\b", re.IGNORECASE),
        "the organization wants the token to be authorized for its single sign-on",
        "Authorize the token on GitHub: Settings → Developer settings → the token → Configure SSO.",
    ),
    _Reason(
        re.compile(r"ip allow list|ip address", re.IGNORECASE),
        "the organization does not allow the address of this worker",
        "Add the worker's public address to the organization's IP allow list.",
    ),
    _Reason(
        re.compile(r"forbids access|access restrictions|token lifetime", re.IGNORECASE),
        "the organization does not allow this kind of token",
        "Use what its policy allows: as a rule a fine-grained token that is approved, or an App.",
    ),
    _Reason(
        re.compile(r"access blocked|\bdmca\b|\btos\b|is disabled", re.IGNORECASE),
        "GitHub has blocked the repository",
        "Its page on GitHub says why; only GitHub's support can lift that.",
    ),
    _Reason(
        re.compile(r"user-agent|administrative rules", re.IGNORECASE),
        "GitHub's own rules refused the request",
        "Look whether a proxy changes the requests; otherwise run again later.",
    ),
)


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
        return max(float(asked), SHORTEST_WAIT_S)
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
    if answer.status != 403 and not (answer.status == 404 and missing):
        return None
    said = answer.message or "it gave no reason"
    if known := known_reason(answer.message):
        return AccessDenied(f"GitHub denied {what}: {known[0]} ({said})", hint=known[1])
    wanted = missing_permission(answer.headers)
    if missing or _LACKS.search(answer.message):
        return AccessDenied(
            f"GitHub denied {what}: the token lacks {missing or wanted} ({said})",
            hint="Give the token or the GitHub App that permission; docs/github.md lists all.",
        )
    return AccessDenied(
        f"GitHub denied {what} with HTTP 403: {said}",
        hint=f"If the reason is the token: this request wants {wanted} (docs/github.md).",
    )


def known_reason(message: str) -> tuple[str, str] | None:
    """Return what a 403 is about, and what to do, if no permission of the token would mend it."""
    found = next((each for each in _REASONS if each.said.search(message)), None)
    return (found.what, found.hint) if found else None


def missing_scope(headers: Mapping[str, str]) -> str:
    """Name the scope that a classic token lacks; empty if it lacks none.

    `X-Accepted-OAuth-Scopes` lists scopes of which one is enough, `X-OAuth-Scopes` the token's own.
    """
    enough = _listed(headers.get("x-accepted-oauth-scopes", ""))
    have = _listed(headers.get("x-oauth-scopes", ""))
    if enough and not set(enough) & set(have):
        shown = shortened(" or ".join(enough), _LONGEST)
        return f"the scope {shown} (it has {shortened(', '.join(have), _LONGEST) or 'none'})"
    return ""


def missing_permission(headers: Mapping[str, str]) -> str:
    """Name the permission that a fine-grained token or an App needs, in GitHub's own words.

    `X-Accepted-GitHub-Permissions` names sets of permissions, of which one is enough.
    """
    sets = [each.strip() for each in headers.get("x-accepted-github-permissions", "").split(";")]
    named = shortened(" or ".join(each for each in sets if each), _LONGEST)
    return f"the permission {named}" if named else "a permission that it does not name"


def refusal(what: str, answer: GitHubAnswer) -> GitHubRefused | None:
    """Return the error of any other refusal, with what GitHub says is wrong."""
    if answer.status in (404, 410):
        return NotOnGitHub(f"GitHub has nothing for {what}: {answer.message or answer.status}")
    if 400 <= answer.status < 500:
        errors = answer.errors[:_ERRORS_SHOWN]
        said = "; ".join([answer.message or f"HTTP {answer.status}", *map(_described, errors)])
        codes = tuple(str(e["code"]) for e in errors if isinstance(e, dict) and "code" in e)
        return GitHubRefused(f"GitHub refused {what}: {said}", codes=codes)
    return None


def _described(error: Any) -> str:
    if not isinstance(error, dict):
        return shortened(str(error), _LONGEST)
    named = " ".join(str(error[k]) for k in ("resource", "field", "code") if k in error)
    return shortened(f"{named} {error.get('message', '')}", _LONGEST)


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
