"""Run a web server that answers every request of a test in the same way."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Request(NamedTuple):
    path: str
    authorization: str | None
    body: bytes


class Answering:
    """Answers every request with `status` and, as JSON, `body`; records its `requests`.

    With the context `tls` it serves TLS.
    """

    def __init__(self, status=200, body=None, headers=None, tls=None):
        self.body = body
        self.requests = []
        answering = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                authorization = self.headers.get("Authorization")
                answering.requests.append(Request(self.path, authorization, sent))
                content = json.dumps(answering.body).encode() if answering.body else b""
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PUT = do_GET

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' * bool(tls)}://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
