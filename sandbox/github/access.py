"""Decide which requests the fake GitHub allows: tokens, their permissions, and Apps.

Protocol: https://docs.github.com/en/rest/authentication and, for Apps,
https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app.
"""

import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.github.words import BOT, Refused, missing, stamp

LONGEST_ASSERTION_S = 600
TOKEN_LIVES_S = 3600
_LEVELS = ("none", "read", "write", "admin")


@dataclass(frozen=True)
class Token:
    """A token with its `permissions` by name and its `repositories`; None means all of them.

    `scopes` are those of a classic token and None for other kinds. `ends` is in seconds as
    `time.time`.
    """

    value: str = field(repr=False)
    login: str = BOT
    permissions: dict[str, str] | None = None
    repositories: tuple[str, ...] | None = None
    scopes: tuple[str, ...] | None = None
    ends: float | None = None

    def may(self, wanted: str) -> bool:
        """Return whether the token has `wanted`, written as in `X-Accepted-GitHub-Permissions`."""
        if self.permissions is None or not wanted:
            return True
        return any(
            all(self._has(*each.strip().split("=")) for each in together.split(","))
            for together in wanted.split(";")
        )

    def _has(self, name: str, level: str) -> bool:
        # Every token may read metadata.
        have = (self.permissions or {}).get(name, "read" if name == "metadata" else "none")
        return _LEVELS.index(have) >= _LEVELS.index(level)


@dataclass(frozen=True)
class App:
    """An installed App with the fields that `blocks.github_app.GitHubApp` needs."""

    app_id: str
    installation: int
    private_key: str = field(repr=False)
    public_key: str
    permissions: dict[str, str] = field(default_factory=dict)
    repositories: tuple[str, ...] | None = None


@dataclass
class Access:
    """Stores tokens and Apps. Unknown tokens may do everything unless `only_known` is set."""

    only_known: bool = False
    _tokens: dict[str, Token] = field(default_factory=dict, repr=False)
    _revoked: set[str] = field(default_factory=set, repr=False)
    _apps: dict[int, App] = field(default_factory=dict, repr=False)

    def token(
        self,
        *,
        login: str = BOT,
        repositories: tuple[str, ...] | None = None,
        **permissions: str,
    ) -> str:
        """Create a token with exactly these permissions, such as `statuses="write"`."""
        kind = "ghs_" if login == BOT else "github_pat_"
        made = Token(kind + secrets.token_hex(18), login, permissions, repositories)
        self._tokens[made.value] = made
        return made.value

    def classic_token(self, *scopes: str, login: str = "ada") -> str:
        """Create a classic personal token, for instance with the scope `repo`."""
        made = Token("ghp_" + secrets.token_hex(18), login, scopes=scopes)
        self._tokens[made.value] = made
        return made.value

    def revoke(self, value: str) -> None:
        self._revoked.add(value)

    def install_app(
        self, *, repositories: tuple[str, ...] | None = None, **permissions: str
    ) -> App:
        """Create an App with a key of its own, installed for the repositories (None: all)."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ).decode()
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        number = 1001 + len(self._apps)
        app = App(f"Iv1.{number}", number, pem, public.decode(), permissions, repositories)
        self._apps[number] = app
        return app

    def forget(self) -> None:
        self.only_known = False
        for known in (self._tokens, self._revoked, self._apps):
            known.clear()

    def accepted(self, authorization: str) -> Token:
        """Return the token of an `Authorization` header; raises Refused with 401."""
        scheme, _, value = authorization.partition(" ")
        value = value.strip()
        if scheme.lower() not in ("bearer", "token") or not value:
            raise Refused(401, "Requires authentication")
        known = self._tokens.get(value)
        ended = known is not None and known.ends is not None and known.ends <= time.time()
        if value in self._revoked or ended or (self.only_known and known is None):
            raise Refused(401, "Bad credentials")
        return known or Token(value)

    def mint(self, installation: int, authorization: str) -> dict[str, Any]:
        """Return a token for an installation, given the App's signed assertion; raises Refused."""
        app = self._proven(authorization.partition(" ")[2].strip())
        if app.installation != installation:
            raise missing()
        ends = time.time() + TOKEN_LIVES_S
        value = "ghs_" + secrets.token_hex(18)
        self._tokens[value] = Token(
            value, BOT, app.permissions or None, app.repositories, ends=ends
        )
        return {
            "token": value,
            "expires_at": stamp(datetime.fromtimestamp(ends, UTC)),
            "permissions": {"metadata": "read", **app.permissions},
            "repository_selection": "all" if app.repositories is None else "selected",
        }

    def _proven(self, assertion: str) -> App:
        """Return the App that signed the assertion, an RS256 token for at most ten minutes."""
        try:
            issuer = jwt.decode(assertion, options={"verify_signature": False}).get("iss")
            app = next((app for app in self._apps.values() if app.app_id == issuer), None)
            if app is None:
                raise Refused(401, "Integration not found")
            claims = jwt.decode(
                assertion,
                app.public_key,
                algorithms=["RS256"],
                options={"require": ["iat", "exp", "iss"]},
            )
        except jwt.ExpiredSignatureError:
            raise Refused(401, f"{_EXPIRES} must be a time in the future") from None
        except jwt.InvalidTokenError:
            raise Refused(401, "A JSON web token could not be decoded") from None
        if claims["exp"] - time.time() > LONGEST_ASSERTION_S:
            raise Refused(401, f"{_EXPIRES} is too far in the future")
        return app


_EXPIRES = "'Expiration time' claim ('exp')"
