"""What git's words come to, as GitHub makes git say them."""

import pytest

from delivery.errors import AccessDenied, UnknownRevision
from tasks.workspace.git import GitFailed, verdict_about

WHERE = "https://github.com/acme/app.git"
REFUSED = f"fatal: unable to access '{WHERE}/': The requested URL returned error: 403"


@pytest.mark.parametrize(
    ("output", "what"),
    [
        (
            "remote: The `acme' organization has enabled or enforced SAML SSO.\n"
            "remote: To access this repository, you must use the HTTPS remote.\n" + REFUSED,
            "single sign-on",
        ),
        (
            "ERROR: The 'acme' organization has an IP allow list enabled, and 192.0.2.1 is not "
            "permitted to access this repository.\nfatal: Could not read from remote repository.",
            "does not allow the address of this worker",
        ),
        (f"remote: Your account is suspended.\n{REFUSED}", "suspended"),
        (f"remote: Access to this repository has been disabled; DMCA\n{REFUSED}", "blocked"),
    ],
)
def test_the_servers_own_reason_is_told_and_no_other(output, what):
    verdict = verdict_about(WHERE, GitFailed(output, 128))

    assert isinstance(verdict, AccessDenied)
    assert what in str(verdict)
    assert "credentials" not in str(verdict)
    assert "may read this repository" not in verdict.hint


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (REFUSED, "wants some"),
        (f"remote: Write access to repository not granted.\n{REFUSED}", "Write access to rep"),
        (f"remote: {'x' * 9_000}\x1b[2J\n{REFUSED}", "xxx…"),
    ],
)
def test_a_refusal_without_a_known_reason_is_one_of_credentials_with_the_servers_words(
    output, said
):
    verdict = verdict_about(WHERE, GitFailed(output, 128))

    assert isinstance(verdict, AccessDenied)
    assert f"{WHERE} refused our credentials, or wants some" in str(verdict)
    assert said in str(verdict)
    assert len(str(verdict)) < 500


def test_a_repository_that_is_not_there_is_not_denied():
    output = "ERROR: Repository not found.\nfatal: Could not read from remote repository."

    assert isinstance(verdict_about(WHERE, GitFailed(output, 128)), UnknownRevision)
