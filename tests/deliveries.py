"""Send GitHub's webhooks to a receiver in this process, as GitHub signs them."""

import asyncio
import hashlib
import hmac
import json

import httpx


def delivered(receiver, secret, event, payload, *, delivery="1", body=None):
    """Return the receiver's answer to an event; `body` is sent instead of the payload if given."""
    body = json.dumps(payload).encode() if body is None else body
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "x-hub-signature-256": f"sha256={signature}",
        "x-github-event": event,
        "x-github-delivery": delivery,
    }

    async def ask():
        transport = httpx.ASGITransport(receiver)
        async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
            return await client.post("/github", content=body, headers=headers)

    return asyncio.run(ask())


def event_of(github_address, repository, number, action="opened"):
    """Return GitHub's event about a pull request: it describes it as the API does."""
    address = f"{github_address}/repos/{repository}/pulls/{number}"
    described = httpx.get(address, headers={"authorization": "Bearer anything"}).json()
    return {
        "action": action,
        "number": number,
        "repository": {"full_name": repository},
        "pull_request": described,
    }
