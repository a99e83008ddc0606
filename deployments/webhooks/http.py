"""Read requests and write answers, for all webhooks."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse

# GitHub waits ten seconds for an answer, SNS fifteen.
BODY_WITHIN_S = 30


async def body_of(request: Request, largest: int, what: str) -> bytes | JSONResponse:
    """Return the raw body; or the answer to a body that is larger than `what`, or too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for part in request.stream():
                body += part
                if len(body) > largest:
                    return json_answer(413, f"larger than {what}")
    except TimeoutError:
        return json_answer(408, f"the request was not whole after {BODY_WITHIN_S} s")
    return bytes(body)


def json_answer(status: int, sentence: str) -> JSONResponse:
    """Return an answer with one sentence, as JSON."""
    return JSONResponse({"said": sentence}, status_code=status)
