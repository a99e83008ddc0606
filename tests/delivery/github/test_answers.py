"""What GitHub's refusals are about: the reason that it gives, and no other."""

import pytest

from delivery.errors import AccessDenied
from delivery.github.answers import GitHubAnswer, denial, refusal, wait_asked

WHAT = "POST /repos/kanvaro/kanvaro/statuses/1"
HEADERS = {"x-accepted-github-permissions": "statuses=write"}


def denied(message, headers=HEADERS, status=403):
    found = denial(WHAT, GitHubAnswer(status, headers, message))
    assert isinstance(found, AccessDenied)
    assert message in str(found)
    return found


# The first one is a case of r-universe-org/help#247.
@pytest.mark.parametrize(
    ("message", "what"),
    [
        ("Repository was archived so is read-only.", "the repository is archived"),
        ("This installation has been suspended", "is suspended"),
        ("Sorry. Your account was suspended.", "is suspended"),
        (
            "Resource protected by organization SAML enforcement. You must grant your OAuth token "
            "access to this organization.",
            "authorized for its single sign-on",
        ),
        (
            "Although you appear to have the correct authorization credentials, the `kanvaro` "
            "organization has an IP allow list enabled, and your IP address is not permitted to "
            "access this resource.",
            "does not allow the address of this worker",
        ),
        (
            "`kanvaro` forbids access via a personal access token (classic). Please use a GitHub "
            "App, OAuth App, or a personal access token with fine-grained permissions.",
            "does not allow this kind of token",
        ),
        ("Repository access blocked", "GitHub has blocked the repository"),
        (
            "Request forbidden by administrative rules. Please make sure your request has a "
            "User-Agent header",
            "GitHub's own rules refused the request",
        ),
    ],
)
def test_a_reason_that_is_no_permission_is_said_as_github_says_it(message, what):
    found = denied(message)

    assert f"GitHub denied {WHAT}: " in str(found)
    assert what in str(found)
    assert "lacks" not in str(found)
    assert "that permission" not in found.hint


@pytest.mark.parametrize(
    "message",
    [
        "Resource not accessible by integration",
        "Resource not accessible by personal access token",
        "Must have admin rights to Repository.",
        "Must have push access to repository",
    ],
)
def test_a_permission_is_said_to_be_missing_where_github_says_so(message):
    found = denied(message)

    assert "the token lacks the permission statuses=write" in str(found)
    assert "that permission" in found.hint


@pytest.mark.parametrize(("message", "said"), [("", "it gave no reason"), ("Moon phase", "Moon")])
def test_a_reason_that_nobody_knows_is_not_made_up(message, said):
    found = denied(message)

    assert str(found) == f"GitHub denied {WHAT} with HTTP 403: {message or said}"
    assert "statuses=write" in found.hint


def test_a_missing_scope_shows_in_the_headers_whatever_is_said():
    scopes = {"x-accepted-oauth-scopes": "repo", "x-oauth-scopes": "gist"}

    assert "lacks the scope repo (it has gist)" in str(denied("Not Found", scopes, 404))
    assert "lacks the scope repo (it has gist)" in str(denied("", scopes))


@pytest.mark.parametrize("after", ["0", "00", "1"])
def test_a_wait_of_no_time_is_a_wait(after):
    """Or the same request would be sent again and again: no sum of such waits reaches a limit."""
    assert wait_asked(GitHubAnswer(429, {"retry-after": after}), 0) == 1


def test_a_refusal_is_short_whatever_github_lists():
    errors = tuple({"code": "custom", "message": "x" * 500} for _ in range(1000))
    found = refusal(WHAT, GitHubAnswer(422, {}, "Validation Failed", errors))
    long = denial(WHAT, GitHubAnswer(403, {"x-accepted-github-permissions": "a=b; " * 9999}))

    assert len(str(found)) < 1500
    assert len(found.codes) == 5
    assert len(long.hint) < 400
