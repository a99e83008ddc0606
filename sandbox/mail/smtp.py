"""Emulate a mail provider's submission port: STARTTLS, AUTH, and accounts that change.

It speaks real SMTP by aiosmtpd. A client must use STARTTLS before it logs in, and log in before it
sends. Mails are kept, not sent.
"""

import asyncio
import hmac
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from hmac import compare_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from sandbox.parts.certificates import write_certificate
from sandbox.parts.part import Part
from sandbox.parts.ports import LOOPBACK, listening_socket


@dataclass(frozen=True)
class Mail:
    """An accepted mail, and the user who sent it."""

    user: str
    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage


@dataclass(frozen=True)
class _Change:
    """From `moment` (of `time.monotonic`) on the user has this password; None means no account."""

    moment: float
    user: str
    password: str | None


class SmtpServer(Part):
    """Listens on `host` and `port` while it is entered; clients must trust the file `ca_file`.

    `logins` are the login attempts in order, each a user and whether it succeeded; `mails` are the
    accepted mails. `on_login` is called with each user that logged in.
    """

    def __init__(
        self, host: str = LOOPBACK, *, on_login: Callable[[str], None] = lambda _: None
    ) -> None:
        self.host = host
        self.on_login = on_login
        self.port = 0
        self.ca_file = Path()
        self.mails: list[Mail] = []
        self.logins: list[tuple[str, bool]] = []
        self._offered: tuple[str, ...] = ("LOGIN", "PLAIN")
        self._changes: list[_Change] = []
        self._answers: list[str | None] = []
        self._lock = Lock()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def set_account(self, user: str, password: str, *, after_s: float = 0) -> None:
        """Let a user log in with this password, after `after_s` seconds."""
        self._change(user, password, after_s)

    def remove_account(self, user: str, *, after_s: float = 0) -> None:
        """Refuse a user, after `after_s` seconds."""
        self._change(user, None, after_s)

    def offer(self, *mechanisms: str) -> None:
        """Announce these ways to log in, and take no others: PLAIN, LOGIN, CRAM-MD5."""
        self._offered = mechanisms

    def answer_logins_with(self, line: str, *, times: int = 1, after: int = 0) -> None:
        """Answer logins with a line such as `454 4.7.0 Try again later`, `times` times.

        The first `after` logins are answered normally.
        """
        with self._lock:
            self._answers += [None] * after + [line] * times

    def forget_answers(self) -> None:
        """Answer logins by the accounts again."""
        with self._lock:
            self._answers.clear()

    def _change(self, user: str, password: str | None, after_s: float) -> None:
        with self._lock:
            self._changes.append(_Change(time.monotonic() + after_s, user, password))

    def _start(self, stack: ExitStack) -> None:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="kanvaro-sandbox-smtp-")))
        self.ca_file, key = write_certificate(folder, self.host)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(self.ca_file, key)
        listener = listening_socket(host=self.host)
        stack.callback(listener.close)
        self.port = listener.getsockname()[1]
        controller = _Controller(
            listener,
            self,
            tls_context=tls,
            require_starttls=True,
            auth_required=True,
            auth_require_tls=True,
            authenticator=self._authenticate,
        )
        controller.start()
        stack.callback(controller.stop)

    def _authenticate(
        self,
        _server: SMTP,
        _session: Session,
        _envelope: Envelope,
        mechanism: str,
        credentials: Any,
    ) -> AuthResult:
        login = cast(LoginPassword, credentials)
        return self._judged(mechanism, login, lambda known: compare_digest(known, login.password))

    def _judged(
        self, mechanism: str, login: LoginPassword, is_right: Callable[[bytes], bool]
    ) -> AuthResult:
        user = login.login.decode(errors="replace")
        with self._lock:
            answer = self._answers.pop(0) if self._answers else None
            known = self._password_of(user)
            is_offered = mechanism in self._offered
            good = answer is None and is_offered and known is not None and is_right(known)
            self.logins.append((user, good))
        if good:
            self.on_login(user)
            return AuthResult(success=True, auth_data=login)
        return AuthResult(success=False, handled=False, message=answer)

    async def auth_CRAM__MD5(self, server: SMTP, _words: list[str]) -> AuthResult:
        """Log in by RFC 2195; aiosmtpd calls this method by its name."""
        challenge = f"<{time.monotonic_ns()}@sandbox>".encode()
        answer = await server.challenge_auth(challenge)
        if not isinstance(answer, bytes):
            return AuthResult(success=False)
        user, _, digest = answer.rpartition(b" ")
        return self._judged(
            "CRAM-MD5",
            LoginPassword(user, b""),
            lambda known: compare_digest(
                hmac.digest(known, challenge, "md5").hex().encode(), digest
            ),
        )

    async def handle_EHLO(
        self, _server: SMTP, session: Session, _envelope: Envelope, name: str, lines: list[str]
    ) -> list[str]:
        """Announce the ways to log in that are offered; aiosmtpd calls this method by its name."""
        session.host_name = name
        ways = f"250-AUTH {' '.join(self._offered)}"
        return [ways if line.startswith("250-AUTH ") else line for line in lines]

    def _password_of(self, user: str) -> bytes | None:
        now = time.monotonic()
        arrived = sorted(
            (each for each in self._changes if each.user == user and each.moment <= now),
            key=lambda each: each.moment,
        )
        password = arrived[-1].password if arrived else None
        return None if password is None else password.encode()

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        """Store a mail; aiosmtpd calls this method by its name."""
        content = cast(bytes, envelope.content)
        mail = Mail(
            user=cast(LoginPassword, session.auth_data).login.decode(),
            sender=str(envelope.mail_from),
            recipients=tuple(str(each) for each in envelope.rcpt_tos),
            message=message_from_bytes(content, policy=policy.default),
        )
        with self._lock:
            self.mails.append(mail)
        return "250 2.0.0 Kept, not sent"


class _Controller(Controller):
    """Serves on a socket that already listens, so that nothing else can take the port first."""

    def __init__(self, listener: socket.socket, handler: object, **options: Any) -> None:
        host, port = listener.getsockname()
        super().__init__(handler, host, port, **options)
        self._listener = listener

    def _create_server(self) -> Awaitable[asyncio.AbstractServer]:
        return self.loop.create_server(self._factory_invoker, sock=self._listener)
