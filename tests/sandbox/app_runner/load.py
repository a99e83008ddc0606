"""Send load to a service's address, and count the answers."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx


class Load:
    """Callers that send all the time: some keep their connection, some open a new one each time."""

    def __init__(self, url):
        self._url = url
        self._ending = threading.Event()
        self._callers = ThreadPoolExecutor(4)
        self.answers = []
        self.failures = []

    def __enter__(self):
        for keeps_alive in (True, True, True, False):
            self._callers.submit(self._call, keeps_alive)
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._callers.shutdown()

    def go_on_for(self, requests):
        enough = len(self.answers) + requests
        deadline = time.monotonic() + 10
        while len(self.answers) < enough and time.monotonic() < deadline:
            time.sleep(0.005)

    def _call(self, keeps_alive):
        limits = httpx.Limits(max_keepalive_connections=1 if keeps_alive else 0)
        with httpx.Client(limits=limits, timeout=5) as caller:
            while not self._ending.is_set():
                try:
                    answer = caller.get(self._url)
                    self.answers.append((answer.status_code, answer.json()["revision"]))
                except (httpx.HTTPError, ValueError) as error:
                    self.failures.append(repr(error))
