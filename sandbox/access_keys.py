"""A strict way to the emulated IAM's access keys: what ministack gets wrong is answered as by AWS.

Measured with ministack 1.5.33: a user may have any number of keys (two on AWS, then LimitExceeded),
and no use of a key is ever recorded. `used` says that a key was used, for whom no request to AWS
is signed with it.
Source: API reference of AWS IAM, CreateAccessKey and GetAccessKeyLastUsed.
"""

import re
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode

from aiohttp import web

from sandbox.aws_proxy import AwsProxy, Call

KEYS_PER_USER = 2
_NEVER = (
    b"<AccessKeyLastUsed><Region>N/A</Region><ServiceName>N/A</ServiceName></AccessKeyLastUsed>"
)


class StrictAccessKeys(AwsProxy):
    """AWS IAM over the account at `endpoint`; `url` is for boto3."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self._last_use: dict[str, datetime] = {}

    def used(self, key: str, moment: datetime) -> None:
        """Remember that a key was used for Amazon SES."""
        self._last_use[key] = moment

    async def answer(self, call: Call) -> web.Response:
        if call.operation == "CreateAccessKey" and await self._is_full(call):
            return _refusal(
                409, "LimitExceeded", f"Cannot exceed quota for AccessKeysPerUser: {KEYS_PER_USER}"
            )
        answer = await self.passed_on(call)
        if call.operation == "GetAccessKeyLastUsed" and answer.status == 200:
            return self._with_last_use(answer, call.form["AccessKeyId"])
        return answer

    async def _is_full(self, call: Call) -> bool:
        question = urlencode({**call.form, "Action": "ListAccessKeys"}).encode()
        listed = await self.passed_on(replace(call, body=question))
        return len(re.findall(rb"<AccessKeyId>", _body(listed))) >= KEYS_PER_USER

    def _with_last_use(self, answer: web.Response, key: str) -> web.Response:
        moment = self._last_use.get(key)
        if moment is None:
            return answer
        when = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        last = (
            f"<AccessKeyLastUsed><LastUsedDate>{when}</LastUsedDate>"
            "<Region>us-east-1</Region><ServiceName>ses</ServiceName></AccessKeyLastUsed>"
        )
        told = _body(answer).replace(_NEVER, last.encode())
        return web.Response(status=200, body=told, content_type="text/xml")


def _refusal(status: int, code: str, message: str) -> web.Response:
    body = (
        '<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error>'
        f"<Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>"
        "</Error></ErrorResponse>"
    )
    return web.Response(status=status, text=body, content_type="text/xml")


def _body(answer: web.Response) -> bytes:
    assert isinstance(answer.body, bytes)  # noqa: S101 - narrows the type
    return answer.body
