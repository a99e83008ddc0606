"""The application in the test images: standard library only, PID 1 of its container."""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/environment":
            return self.answer(200, dict(os.environ))
        if self.path == "/exit":
            os._exit(3)
        is_sick = os.environ["BEHAVIOUR"] == "unhealthy" and self.path.startswith("/api/health")
        return self.answer(503 if is_sick else 200, {"revision": os.environ["REVISION"]})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *arguments):
        pass


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"revision {os.environ['REVISION']} starts", flush=True)
    if os.environ["BEHAVIOUR"] == "exits":
        sys.exit(1)
    if os.environ["BEHAVIOUR"] == "deaf":
        time.sleep(600)
    server = ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        signal.pause()


main()
