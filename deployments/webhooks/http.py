"""Read requests and write answers, for all webhooks."""

from starlette.requests import Request
from starlette.responses import JSONResponse


async def body_of(request: Request, largest: int) -> bytes | None:
    """Return the raw body, or None as soon as it is larger than `largest` bytes."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > largest:
            return None
    return bytes(body)


def json_answer(status: int, sentence: str) -> JSONResponse:
    """Return an answer with one sentence, as JSON."""
    return JSONResponse({"said": sentence}, status_code=status)
