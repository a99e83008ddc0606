"""The edge's desk: what it has seen, and how to make it slow to learn or blind."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

_PATIENCE = 10.0


class ControlEndpoint:
    """Speaks to the edge of a sandbox, also from another process:
    `ControlEndpoint(addresses.edge)`.
    """

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc

    @property
    def state(self) -> dict[str, Any]:
        """Return everything the edge tells of itself.

        `requests` (`total`, `retried`, `aborted`: by the client, `broken`: by the origin,
        `by_default`: routed without the function's word, `origins` and `statuses`: counts by name),
        `locations` (each with its `name`, `route` as text or None, and `delay_s`, by which that
        came later than it could have), `default_origin`, `propagation_s`, `store_fails`,
        `store_reads`.
        """
        return self._request("GET", "/")

    @property
    def requests(self) -> dict[str, Any]:
        """Return the counts of requests served so far."""
        requests: dict[str, Any] = self.state["requests"]
        return requests

    def set_propagation(self, seconds: float) -> None:
        """From now on, let each location learn of a change up to `seconds` later.

        Raises ValueError for a delay that is negative or longer than an hour.
        """
        self._change(propagation_s=seconds)

    def fail_store(self, fails: bool = True) -> None:
        """Let the function's reads of the key value store fail, or no longer."""
        self._change(store_fails=fails)

    def try_function(self, event: dict[str, Any], **store: str | None) -> dict[str, Any]:
        """Run the route function once: `{"result": …, "origin": … or None}`.

        `route` is the text in the store, None when the store is empty; without it the store
        cannot be read.
        """
        requested = {"event": event, **store}
        return self._request("POST", "/function", requested)

    def _change(self, **requested: object) -> None:
        self._request("POST", "/", requested)

    def _request(self, method: str, path: str, requested: object = None) -> dict[str, Any]:
        # Not httpx: every one of its clients reads all certificates first, which takes longer.
        connection = http.client.HTTPConnection(self._host, timeout=_PATIENCE)
        try:
            connection.request(method, path, json.dumps(requested))
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer
