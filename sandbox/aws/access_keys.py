"""Correct the emulated IAM's access keys, where ministack's answers differ from AWS.

Measured with ministack 1.5.33: a user may have any number of keys (AWS allows two, then
LimitExceeded), and no use of a key is ever recorded. Nothing signs requests to AWS with these keys,
so `used` records the use of one. With an SMTP server, its accounts are the active keys, as with
Amazon SES, and a login counts as a use. Source: API reference of AWS IAM, CreateAccessKey and
GetAccessKeyLastUsed.
"""

import re
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode

from aiohttp import web

from delivery.credentials.ses_password import smtp_password
from sandbox.aws.aws import REGION
from sandbox.aws.proxy import AwsProxy, Call, body_of
from sandbox.mail.smtp import SmtpServer

KEYS_PER_USER = 2
_NEVER = (
    b"<AccessKeyLastUsed><Region>N/A</Region><ServiceName>N/A</ServiceName></AccessKeyLastUsed>"
)


class StrictAccessKeys(AwsProxy):
    """Serves AWS IAM over the account at `endpoint`; `url` is for boto3.

    A change of a key reaches the server `smtp` after `lag_s` seconds.
    """

    def __init__(self, endpoint: str, smtp: SmtpServer | None = None, *, lag_s: float = 0) -> None:
        super().__init__(endpoint)
        self._last_use: dict[str, datetime] = {}
        self._passwords: dict[str, str] = {}
        self._smtp, self._lag_s = smtp, lag_s
        if smtp:
            smtp.on_login = lambda key: self.used(key, datetime.now(UTC))

    def used(self, key: str, moment: datetime) -> None:
        """Record that a key was used for Amazon SES."""
        self._last_use[key] = moment

    async def answer(self, call: Call) -> web.Response:
        if call.operation == "CreateAccessKey" and await self._is_full(call):
            return _refusal(
                409, "LimitExceeded", f"Cannot exceed quota for AccessKeysPerUser: {KEYS_PER_USER}"
            )
        answer = await self.passed_on(call)
        if answer.status != 200:
            return answer
        if call.operation == "GetAccessKeyLastUsed":
            return self._with_last_use(answer, call.form["AccessKeyId"])
        if self._smtp:
            self._update_accounts(self._smtp, call, body_of(answer).decode())
        return answer

    def _update_accounts(self, smtp: SmtpServer, call: Call, answer: str) -> None:
        """Apply a change of a key to the accounts of the SMTP server."""
        key = call.form.get("AccessKeyId", "")
        if call.operation == "CreateAccessKey":
            key, secret = (_member(answer, name) for name in ("AccessKeyId", "SecretAccessKey"))
            self._passwords[key] = smtp_password(secret, REGION)
        elif call.operation not in ("UpdateAccessKey", "DeleteAccessKey"):
            return
        if call.operation != "DeleteAccessKey" and call.form.get("Status") != "Inactive":
            smtp.set_account(key, self._passwords[key], after_s=self._lag_s)
        else:
            smtp.remove_account(key, after_s=self._lag_s)

    async def _is_full(self, call: Call) -> bool:
        question = urlencode({**call.form, "Action": "ListAccessKeys"}).encode()
        listed = await self.passed_on(replace(call, body=question))
        return len(re.findall(rb"<AccessKeyId>", body_of(listed))) >= KEYS_PER_USER

    def _with_last_use(self, answer: web.Response, key: str) -> web.Response:
        moment = self._last_use.get(key)
        if moment is None:
            return answer
        when = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        last = (
            f"<AccessKeyLastUsed><LastUsedDate>{when}</LastUsedDate>"
            "<Region>us-east-1</Region><ServiceName>ses</ServiceName></AccessKeyLastUsed>"
        )
        body = body_of(answer).replace(_NEVER, last.encode())
        return web.Response(status=200, body=body, content_type="text/xml")


def _member(answer: str, name: str) -> str:
    found = re.search(f"<{name}>([^<]+)</{name}>", answer)
    assert found  # noqa: S101 - narrows the type
    return found[1]


def _refusal(status: int, code: str, message: str) -> web.Response:
    body = (
        '<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error>'
        f"<Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>"
        "</Error></ErrorResponse>"
    )
    return web.Response(status=status, text=body, content_type="text/xml")
