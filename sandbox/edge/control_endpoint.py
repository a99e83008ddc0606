"""Read what the edge has seen, and make it slow to update or unable to read its store."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

_PATIENCE = 10.0


class ControlEndpoint:
    """Client of the edge's control endpoint, also from another process.

    ControlEndpoint(addresses.edge)
    """

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc

    @property
    def state(self) -> dict[str, Any]:
        """Return everything that the edge reports about itself.

        `requests` (`total`, `retried`, `aborted`: by the client, `broken`: by the origin,
        `by_default`: routed without the function's choice, `origins` and `statuses`: counts by
        name), `locations` (each with its `name`, `route` as text or None, and `delay_s`, how much
        later than possible it got that route), `default_origin`, `propagation_s`, `store_fails`,
        `store_reads`.
        """
        return self._request("GET", "/")

    @property
    def requests(self) -> dict[str, Any]:
        """Return the counts of requests served so far."""
        requests: dict[str, Any] = self.state["requests"]
        return requests

    def set_propagation(self, seconds: float) -> None:
        """Delay each later change by up to `seconds` at each location.

        Raises ValueError for a delay that is negative or longer than an hour.
        """
        self._change(propagation_s=seconds)

    def fail_store(self, fails: bool = True) -> None:
        """Make the function's reads of the key value store fail, or succeed again."""
        self._change(store_fails=fails)

    def try_function(self, event: dict[str, Any], **store: str | None) -> dict[str, Any]:
        """Run the route function once: `{"result": …, "origin": … or None}`.

        `route` is the text in the store, None for an empty store; if it is omitted, reading the
        store fails.
        """
        requested = {"event": event, **store}
        return self._request("POST", "/function", requested)

    def _change(self, **requested: object) -> None:
        self._request("POST", "/", requested)

    def _request(self, method: str, path: str, requested: object = None) -> dict[str, Any]:
        # Not httpx: each of its clients first loads all certificates, which takes longer than the
        # call.
        connection = http.client.HTTPConnection(self._host, timeout=_PATIENCE)
        try:
            connection.request(method, path, json.dumps(requested))
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer
