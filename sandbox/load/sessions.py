"""Simulate signed-in users of the sample application who keep working during a test."""

import threading
import time
from collections import Counter
from contextlib import ExitStack
from itertools import count

import httpx

from sandbox.parts.part import Part

# One user's requests, in this order: the token alone, Redis, MongoDB.
WORK = (("GET", "/api/session"), ("POST", "/api/presence"), ("GET", "/api/projects"))
NEWCOMER_EVERY = 20


class Sessions(Part):
    """Signs in `users` at `url` and then sends `rate` requests a second, all with their tokens.

    Every twentieth request is a new sign-in, whose token is signed at that moment. `refused` counts
    requests without a 2xx answer, by path and status; one without any answer counts under the name
    of its error. Raises httpx.HTTPError if the first users cannot sign in.
    """

    def __init__(self, url: str, users: int = 12, rate: float = 8.0) -> None:
        self._url, self._users, self._pause = url, users, 1 / rate
        self._tokens: list[str] = []
        self._is_over = threading.Event()
        self.requests = 0
        self.refused: Counter[str] = Counter()

    @property
    def users(self) -> int:
        """Return how many users are signed in."""
        return len(self._tokens)

    def _start(self, stack: ExitStack) -> None:
        client = stack.enter_context(httpx.Client(base_url=self._url, timeout=30))
        for number in range(self._users):
            self._sign_in(client, number).raise_for_status()
        working = threading.Thread(target=self._work, args=(client,), daemon=True)
        working.start()
        stack.callback(working.join, 60)
        stack.callback(self._is_over.set)

    def _work(self, client: httpx.Client) -> None:
        for number in count():
            if self._is_over.wait(self._pause):
                return
            method, path = WORK[number % len(WORK)]
            token = self._tokens[number % len(self._tokens)]
            self.requests += 1
            try:
                answer = client.request(method, path, headers={"Authorization": f"Bearer {token}"})
                if number % NEWCOMER_EVERY == 0:
                    path, answer = "/api/session", self._sign_in(client, self._users + number)
            except httpx.HTTPError as error:
                self.refused[f"{path} {type(error).__name__}"] += 1
                continue
            if not answer.is_success:
                self.refused[f"{path} {answer.status_code}"] += 1

    def _sign_in(self, client: httpx.Client, number: int) -> httpx.Response:
        answer = client.post("/api/session", json={"name": f"user {number}"})
        if answer.is_success:
            self._tokens.append(answer.json()["accessToken"])
        return answer

    def wait_for(self, requests: int, seconds: float = 30.0) -> None:
        """Wait until this many more requests were sent; raises TimeoutError."""
        enough, deadline = self.requests + requests, time.monotonic() + seconds
        while self.requests < enough:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.requests} requests, not {enough}, in {seconds:g} s")
            time.sleep(self._pause)
