"""Read an answer over HTTP up to a size, and within a time: a server may send without end."""

import time
from collections.abc import Iterator
from typing import Any

import httpx

# They describe what was sent, and not what was read of it.
_OF_THE_TRANSFER = ("content-encoding", "content-length", "transfer-encoding")


class AnswerTooLarge(Exception):
    """A server sent more than is read."""


class AnswerTooSlow(httpx.ReadTimeout):
    """A server sent the beginning of an answer, and not the rest in time."""


def whole_answer(
    client: httpx.Client, method: str, address: str, largest: int, within_s: float, **request: Any
) -> httpx.Response:
    """Send a request, and return its answer with its whole body.

    Raises `AnswerTooLarge` for a body of more than `largest` bytes, and `httpx.TransportError`,
    also where the body cannot be decoded or has not come within `within_s` seconds.
    """
    with client.stream(method, address, **request) as answer:
        body = b"".join(parts_of(answer, largest, within_s))
    headers = [
        (name, value)
        for name, value in answer.headers.multi_items()
        if name.lower() not in _OF_THE_TRANSFER
    ]
    return httpx.Response(answer.status_code, headers=headers, content=body, request=answer.request)


def parts_of(answer: httpx.Response, largest: int, within_s: float) -> Iterator[bytes]:
    """Yield the body of a streamed answer; raises what `whole_answer` raises."""
    ends = time.monotonic() + within_s
    size = 0
    try:
        # An unpacked part is bounded, too: a kilobyte of gzip may become a megabyte.
        for part in answer.iter_bytes():
            size += len(part)
            if size > largest:
                raise AnswerTooLarge(f"more than {_shown(largest)}")
            if time.monotonic() > ends:
                raise AnswerTooSlow(f"no whole answer within {within_s:g} s")
            yield part
    except httpx.DecodingError as error:
        raise httpx.ReadError(str(error)) from error


def _shown(size: int) -> str:
    return f"{size / 1e6:g} MB" if size >= 1e6 else f"{size / 1e3:g} kB"
