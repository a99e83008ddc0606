"""Proxy the emulated account, and give a role only to callers that may assume it."""

import re
from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import escape

from aiohttp import web

from sandbox.aws.proxy import AwsProxy

EXPIRED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>
<Type>Sender</Type><Code>ExpiredToken</Code><Message>The security token included in the request is
expired</Message></Error></ErrorResponse>"""
REFUSED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>
<Type>Sender</Type><Code>AccessDenied</Code><Message>User: arn:aws:iam::000000000000:user/worker is
not authorized to perform: sts:AssumeRole on resource: {role}</Message></Error></ErrorResponse>"""


class StrictSts(AwsProxy):
    """Denies the roles in `closed`, or all if `is_over`, since ministack evaluates no trust policy.

    With `is_over` the caller's credentials have expired. `sessions` are the names of the sessions
    it gave, `signed_by` the keys of all other calls.
    """

    def __init__(self, endpoint):
        super().__init__(endpoint)
        self.closed, self.sessions, self.signed_by = set(), [], set()
        self.expiring = self.is_over = False

    async def answer(self, call):
        if call.operation != "AssumeRole":
            self.signed_by.add(call.headers["Authorization"].partition("Credential=")[2][:4])
            return await self.passed_on(call)
        role = call.form["RoleArn"]
        if self.is_over:
            return web.Response(status=403, text=EXPIRED)
        if role in self.closed:
            return web.Response(status=403, text=REFUSED.format(role=escape(role)))
        self.sessions.append(call.form["RoleSessionName"])
        given = await self.passed_on(call)
        return _expired(given) if self.expiring else given


def _expired(given):
    """Return a session with a minute left, so that botocore gets a new one for the next call."""
    soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    text = re.sub("<Expiration>.*</Expiration>", f"<Expiration>{soon}</Expiration>", given.text)
    return web.Response(status=200, text=text, content_type="text/xml")
