"""Send the requests in an open loop: slow responses do not lower the request rate."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import aiohttp

from sandbox.load.load_profile import LoadProfile
from sandbox.load.report import Report, RequestFailure, Tally

# Shorter than a server usually keeps an idle connection, so that the client closes it first.
_KEPT_SECONDS = 4.0
_AFTER_A_BROKEN_STREAM = 0.5


class _Unfit(Exception):
    def __init__(self, kind: RequestFailure, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Generator:
    """One load: `run` it until `stop` is set or its time is over; `report` works at any time."""

    def __init__(self, profile: LoadProfile) -> None:
        self._profile = profile
        self._tally = Tally()
        self._began = self._ended = 0.0
        self._epoch = time.time() - time.monotonic()
        self._on_their_way: set[asyncio.Task[None]] = set()

    def report(self) -> Report:
        now = self._ended or time.monotonic()
        return self._tally.report(self._profile.rate, now - self._began)

    async def run(self, stop: asyncio.Event, started: Callable[[], None] = lambda: None) -> None:
        """Send requests; return when the last one is answered, has failed or was abandoned."""
        async with self._clients() as (kept, fresh):
            self._began = time.monotonic()
            started()
            streaming = asyncio.create_task(self._stream_again_and_again(kept, stop))
            await self._start_all(kept, fresh, stop)
            self._ended = time.monotonic()
            stop.set()
            await asyncio.gather(streaming, *self._on_their_way)

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[tuple[aiohttp.ClientSession, aiohttp.ClientSession]]:
        kept = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_SECONDS)
        fresh = aiohttp.TCPConnector(limit=0, force_close=True)
        async with _client(kept) as first, _client(fresh) as second:
            yield first, second

    async def _start_all(
        self, kept: aiohttp.ClientSession, fresh: aiohttp.ClientSession, stop: asyncio.Event
    ) -> None:
        profile, tally = self._profile, self._tally
        end = float("inf") if profile.seconds is None else self._began + profile.seconds
        while not stop.is_set():
            due = self._began + tally.due / profile.rate
            if due >= end:
                break
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            # Of the first n requests this share is fresh, evenly spread.
            is_fresh = int((tally.due + 1) * profile.fresh_share) > int(
                tally.due * profile.fresh_share
            )
            task = asyncio.create_task(
                self._request(
                    fresh if is_fresh else kept, "fresh" if is_fresh else "kept", tally.due, due
                )
            )
            self._on_their_way.add(task)
            task.add_done_callback(self._on_their_way.discard)
            tally.due += 1

    async def _request(
        self, client: aiohttp.ClientSession, connection: str, number: int, due: float
    ) -> None:
        self._tally.late_s = max(self._tally.late_s, time.monotonic() - due)
        viewer = f"kanvaro-load/{number % self._profile.viewers}"
        revision = ""

        async def request() -> None:
            nonlocal revision
            async with client.get(self._profile.url, headers={"User-Agent": viewer}) as answer:
                body = await _whole(answer)
                revision = self._revision(answer, body)

        failure = await _tried(request(), self._profile.patience_s)
        now = time.monotonic()
        if failure:
            self._tally.failed(failure.kind, connection, self._epoch + now, str(failure))
        else:
            self._tally.answered(revision, self._epoch + now, now - due)

    def _revision(self, answer: aiohttp.ClientResponse, body: bytes) -> str:
        if self._profile.revision_header:
            named = answer.headers.get(self._profile.revision_header)
        else:
            try:
                named = json.loads(body)[self._profile.revision_field]
            except (ValueError, KeyError, TypeError):
                named = None
        if not isinstance(named, str):
            raise _Unfit(RequestFailure.WRONG_BODY, f"no revision in {body[:200]!r}")
        return named

    async def _stream_again_and_again(
        self, client: aiohttp.ClientSession, stop: asyncio.Event
    ) -> None:
        while self._profile.stream and not stop.is_set():
            failure = await _tried(self._stream(client), self._profile.stream_patience_s)
            if failure:
                at = self._epoch + time.monotonic()
                self._tally.failed(failure.kind, "stream", at, str(failure))
                await asyncio.sleep(_AFTER_A_BROKEN_STREAM)
            else:
                self._tally.streams += 1

    async def _stream(self, client: aiohttp.ClientSession) -> None:
        async with client.get(self._profile.stream) as answer:
            text = (await _whole(answer)).decode(errors="replace")
        if not text.endswith(self._profile.stream_end):
            raise _Unfit(RequestFailure.INCOMPLETE, f"the stream ends with {text[-100:]!r}")


def _client(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    client = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
    )
    # aiohttp would retry after a reset, and the report would not show it.
    client._retry_connection = False
    return client


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    """Read the body of a good answer; an error from here on means that the answer broke off."""
    try:
        body = await answer.read()
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(error, TimeoutError):
            raise
        raise _Unfit(RequestFailure.INCOMPLETE, repr(error)) from error
    if answer.status >= 500:
        raise _Unfit(RequestFailure.SERVER_ERROR, f"{answer.status} {body[:200]!r}")
    if not 200 <= answer.status < 300:
        raise _Unfit(RequestFailure.OTHER_STATUS, f"{answer.status} {body[:200]!r}")
    return body


async def _tried(attempt: Coroutine[None, None, None], patience_s: float) -> _Unfit | None:
    try:
        async with asyncio.timeout(patience_s):
            await attempt
    except _Unfit as unfit:
        return unfit
    except TimeoutError:
        return _Unfit(RequestFailure.TIME_OUT, f"no answer within {patience_s:g} s")
    except aiohttp.ClientConnectorError as error:
        return _Unfit(RequestFailure.REFUSED, repr(error.os_error))
    except (aiohttp.ServerConnectionError, OSError) as error:
        return _Unfit(RequestFailure.RESET, repr(error))
    except aiohttp.ClientError as error:
        return _Unfit(RequestFailure.WRONG_BODY, repr(error))
    return None
