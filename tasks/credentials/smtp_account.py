"""Prove an SMTP user and password by logins on new, encrypted connections; no mail is sent.

The server must offer STARTTLS with a certificate that is valid for its name (RFC 3207), and AUTH
(RFC 4954). Amazon SES may refuse a new key with 535 until the key has reached all of its servers.
"""

import base64
import hmac
import smtplib
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from delivery.errors import ConfigurationError, CredentialUnfit, StillAccepted, TimedOut
from delivery.patience import Patience, wait_until

PROPAGATION = Patience(timeout=60, interval=1, longest=10)
IN_A_ROW = 3
ANSWER_S = 10.0
# RFC 4954, section 6: authentication credentials invalid.
WRONG_LOGIN = 535
ACCEPTED, GO_ON = 235, 334


@dataclass(frozen=True)
class SmtpAccount:
    """A server, a user and a password; `ca_file` replaces the trusted certificate authorities."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    ca_file: Path | None = None

    def __str__(self) -> str:
        return f"{self.user} at {self.host}:{self.port}"


def prove_account(account: SmtpAccount, patience: Patience | None = None) -> None:
    """Log in three times in a row. Raises `CredentialUnfit` if that does not succeed in time.

    A wrong login (535), a temporary refusal (4xx) and no answer are tried again until then.
    `ConfigurationError` is raised at once for a server without STARTTLS, with an invalid
    certificate, or that refuses for another reason.
    """
    row = _Row(account, wanted=None)
    try:
        wait_until(
            row.look, row.is_long_enough, patience or PROPAGATION, what=f"SMTP logins as {account}"
        )
    except TimedOut as error:
        raise CredentialUnfit(str(error)) from None


def prove_refused(account: SmtpAccount, patience: Patience | None = None) -> None:
    """Verify that the login is refused three times in a row, in time. Raises `StillAccepted`."""
    row = _Row(account, wanted=WRONG_LOGIN)
    try:
        wait_until(
            row.look,
            row.is_long_enough,
            patience or PROPAGATION,
            what=f"refused SMTP logins as {account}",
        )
    except TimedOut as error:
        raise StillAccepted(str(error)) from None


def is_refused(account: SmtpAccount) -> bool:
    """Whether three logins in a row are refused as wrong; False also if that cannot be known."""
    try:
        return all(_log_in(account).code == WRONG_LOGIN for _ in range(IN_A_ROW))
    except ConfigurationError:
        return False


class LoginResult(NamedTuple):
    """What came of a login: accepted (None), no answer (0) or refused with a `code`; in words."""

    code: int | None
    description: str


@dataclass
class _Row:
    """Counts how often the wanted outcome came in a row; any other one begins a new row."""

    account: SmtpAccount
    wanted: int | None
    length: int = 0

    def look(self) -> str:
        login = _log_in(self.account)
        self.length = self.length + 1 if login.code == self.wanted else 0
        return f"{login.description} ({self.length} of {IN_A_ROW} in a row)"

    def is_long_enough(self, _seen: str) -> bool:
        return self.length >= IN_A_ROW


def _log_in(account: SmtpAccount) -> LoginResult:
    try:
        trust = ssl.create_default_context(cafile=account.ca_file)
    except (OSError, ssl.SSLError):
        raise ConfigurationError(f"{account.ca_file} holds no certificates") from None
    try:
        with smtplib.SMTP(account.host, account.port, timeout=ANSWER_S) as server:
            server.starttls(context=trust)
            code = _authenticate(server, account)
    except ssl.SSLCertVerificationError as error:
        raise ConfigurationError(
            f"the certificate of {account.host} is not valid: {error.verify_message}"
        ) from None
    except smtplib.SMTPNotSupportedError as error:
        raise ConfigurationError(f"{account.host} cannot be logged in to: {error}") from None
    except smtplib.SMTPResponseException as error:
        return _refused(account, error.smtp_code)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        return LoginResult(0, f"no answer: {type(error).__name__}")
    return LoginResult(None, "accepted") if code == ACCEPTED else _refused(account, code)


def _authenticate(server: smtplib.SMTP, account: SmtpAccount) -> int:
    """Log in as nodemailer does, and return the server's code; raises what smtplib raises.

    User and password are UTF-8 (RFC 4616, section 2), which smtplib's own login refuses to send.
    """
    server.ehlo()
    offered = server.esmtp_features.get("auth", "").upper().split()
    if "PLAIN" in offered:
        login = _encoded(f"\0{account.user}\0{account.password}".encode())
        code, _ = server.docmd("AUTH", f"PLAIN {login}")
    elif "LOGIN" in offered:
        code, _ = server.docmd("AUTH", "LOGIN")
        for answer in (account.user, account.password):
            if code == GO_ON:
                code, _ = server.docmd(_encoded(answer.encode()))
    elif "CRAM-MD5" in offered:
        code, challenge = server.docmd("AUTH", "CRAM-MD5")
        if code == GO_ON:
            key, asked = account.password.encode(), base64.b64decode(challenge)
            digest = hmac.new(key, asked, "md5").hexdigest()
            code, _ = server.docmd(_encoded(f"{account.user} {digest}".encode()))
    else:
        raise smtplib.SMTPNotSupportedError("it offers neither PLAIN, LOGIN nor CRAM-MD5")
    return code


def _encoded(answer: bytes) -> str:
    return base64.b64encode(answer).decode()


def _refused(account: SmtpAccount, code: int) -> LoginResult:
    # The server's text may repeat the login, so only the code is passed on.
    if code == WRONG_LOGIN or 400 <= code < 500:
        return LoginResult(code, f"refused with {code}")
    raise ConfigurationError(
        f"{account.host} refuses {account.user} with {code}, which does not pass by waiting",
        hint="Look the code up in the provider's reference. The old credential still works.",
    ) from None
