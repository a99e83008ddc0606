"""Get short-lived tokens from GitHub for an App's installation, instead of a person's token.

Protocol: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

import time
from datetime import datetime

import httpx
from prefect.blocks.core import Block
from pydantic import Field, PrivateAttr, SecretStr

from blocks.http_answers import AnswerTooLarge, whole_answer
from delivery.errors import AccessDenied, ConfigurationError, Unreachable
from delivery.github.answers import known_reason
from delivery.json_reader import read_json
from delivery.text import shortened

# GitHub accepts assertions of at most ten minutes, and its clock may be behind ours.
CLOCK_DRIFT_S = 60
ASSERTION_S = 300
# A token lives for an hour; none is returned that could expire during a long upload.
REST_OF_LIFE_S = 600
TRIES = 3
LARGEST_ANSWER = 1_000_000


class GitHubApp(Block):
    """An installation of a GitHub App and the key that proves we are the App."""

    _block_type_name = "GitHub App"
    _block_type_slug = "kanvaro-github-app"
    _description = "An installation of a GitHub App, and the App's private key."

    app_id: str = Field(pattern=r"^[A-Za-z0-9._]{1,40}$", description="The App's id or client id.")
    installation: int = Field(gt=0, description="Number of its installation in the organization.")
    private_key: SecretStr = Field(description="The App's private key, as the PEM GitHub gave.")

    _minted: tuple[str, str, float] = PrivateAttr(default=("", "", 0.0))

    def token(self, address: str) -> str:
        """Return a token that lives for at least ten more minutes; `address` is GitHub's REST API.

        Raises `ConfigurationError`, `AccessDenied` or `Unreachable`.
        """
        known, token, ends = self._minted
        if known != address or ends - time.time() < REST_OF_LIFE_S:
            token, ends = self._ask(
                f"{address}/app/installations/{self.installation}/access_tokens"
            )
            self._minted = (address, token, ends)
        return token

    def _ask(self, address: str) -> tuple[str, float]:
        # One token too many does no harm, so this request may be repeated.
        for number in range(TRIES):
            time.sleep(number)
            try:
                with httpx.Client(timeout=20) as client:
                    answer = whole_answer(
                        client, "POST", address, LARGEST_ANSWER, 60, headers=self._headers()
                    )
            except (httpx.TransportError, AnswerTooLarge):
                continue
            if answer.status_code < 500:
                return self._judged(answer)
        raise Unreachable(f"GitHub issues no token for the App {self.app_id}: it does not answer")

    def _judged(self, answer: httpx.Response) -> tuple[str, float]:
        """Return the token of an answer, and until when it lives, in seconds since 1970."""
        if answer.is_success:
            try:
                issued = read_json(answer.content)
                ends = datetime.fromisoformat(str(issued["expires_at"]))
                return str(issued["token"]), ends.timestamp()
            except (ValueError, KeyError, TypeError, OverflowError):
                raise Unreachable(
                    f"what answers for GitHub issues no token for the App {self.app_id}"
                ) from None
        said = _message(answer)
        what, hint = known_reason(said) or (
            f"HTTP {answer.status_code}",
            "Check the App's id, its key, and that it is installed on the repository.",
        )
        raise AccessDenied(
            f"GitHub issues no token for the App {self.app_id} "
            f"(installation {self.installation}): {what} ({said or 'it gave no reason'})",
            hint=hint,
        )

    def _headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self._assertion()}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def _assertion(self) -> str:
        """Make a JSON web token (RFC 7519) that says which App we are."""
        # Imported here: runs without an App do not pay for it.
        import jwt

        now = int(time.time())
        claims = {"iat": now - CLOCK_DRIFT_S, "exp": now + ASSERTION_S, "iss": self.app_id}
        try:
            return jwt.encode(claims, self.private_key.get_secret_value(), algorithm="RS256")
        except (ValueError, TypeError, jwt.InvalidKeyError):
            raise ConfigurationError(
                f"the private key of the GitHub App {self.app_id} is no RSA key in PEM",
                hint="Make a new key on the App's page and store it in the block as it is.",
            ) from None


def _message(answer: httpx.Response) -> str:
    try:
        body = read_json(answer.content)
    except ValueError:
        return ""
    return shortened(str(body.get("message", "")), 300) if isinstance(body, dict) else ""


def usable_token(token: str, block: str) -> str:
    """Return a token without white space around it, if it can stand in a header of HTTP."""
    plain = token.strip()
    if not plain.isascii() or not plain.isprintable() or " " in plain:
        raise ConfigurationError(
            f"the token registered as {block!r} holds characters that no token of GitHub has",
            hint="Copy it again, without quotes or dots, and run `make register`.",
        )
    return plain
