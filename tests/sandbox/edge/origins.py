"""Two kinds of origin: one reports the requests it got, one runs any code on its sockets."""

import asyncio
import hashlib
import socket
import threading

from aiohttp import web

from sandbox.parts.ports import listening_socket
from sandbox.parts.web import WebServer


class Origin(WebServer):
    """Answers any path with its colour and what it received; some paths are special."""

    def __init__(self, colour):
        self.colour = colour
        self.abandoned = threading.Event()
        super().__init__(self._application)

    @property
    def host(self):
        return self.url.removeprefix("http://")

    def _application(self):
        # A test sends a body that is larger than aiohttp's default limit.
        application = web.Application(client_max_size=256 * 1024 * 1024)
        application.router.add_get("/stream/{pieces}/{delay}", self._stream)
        application.router.add_get("/big/{bytes}", self._big)
        application.router.add_get("/slow/{seconds}", self._slow)
        application.router.add_get("/cookies", self._cookies)
        application.router.add_get("/status/{status}", self._status)
        application.router.add_route("*", "/digest", self._digest)
        application.router.add_route("*", "/{rest:.*}", self._echo)
        return application

    async def _echo(self, request):
        return web.json_response(
            {
                "revision": self.colour,
                "method": request.method,
                "target": request.raw_path,
                "headers": [[name.lower(), value] for name, value in request.headers.items()],
                "body": (await request.read()).decode(),
            },
            headers={"Connection": "X-Secret-Hop", "X-Secret-Hop": "1", "X-Kept": "yes"},
        )

    async def _digest(self, request):
        digest, size = hashlib.sha256(), 0
        async for piece in request.content.iter_any():
            digest.update(piece)
            size += len(piece)
        return web.json_response({"sha256": digest.hexdigest(), "size": size})

    async def _big(self, request):
        return web.Response(body=b"x" * int(request.match_info["bytes"]))

    async def _slow(self, request):
        try:
            await asyncio.sleep(float(request.match_info["seconds"]))
        except asyncio.CancelledError:
            self.abandoned.set()
            raise
        return web.json_response({"revision": self.colour})

    async def _cookies(self, request):
        answer = web.json_response({"revision": self.colour})
        answer.headers.add("Set-Cookie", "a=1; Path=/; HttpOnly")
        answer.headers.add("Set-Cookie", "a=2; Path=/other")
        answer.headers.add("Set-Cookie", "b=x=y")
        return answer

    async def _status(self, request):
        return web.Response(status=int(request.match_info["status"]))

    async def _stream(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for number in range(int(request.match_info["pieces"])):
                await response.write(f"{self.colour} {number}\n".encode())
                await asyncio.sleep(float(request.match_info["delay"]))
        except (ConnectionError, asyncio.CancelledError):
            self.abandoned.set()
            raise
        return response


class RawOrigin:
    """Calls `behave(connection, number)` for every connection, in a thread of its own."""

    def __init__(self, behave):
        self._behave = behave
        self._listener = listening_socket()
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.accepted = 0

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        # close() alone leaves a blocked accept() listening.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(
                target=self._serve, args=(connection, self.accepted), daemon=True
            ).start()

    def _serve(self, connection, number):
        with connection:
            self._behave(connection, number)


def read_head(connection):
    """Read one request's head; return b"" if the other side has closed."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        if not piece:
            return b""
        head += piece
    return head


ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{"revision":"raw"}'  # noqa: E501
