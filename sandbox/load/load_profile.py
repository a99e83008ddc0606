"""Describe the load to send."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LoadProfile:
    """Sends `rate` requests a second to `url`, started by the clock and never by an answer.

    `fresh_share` of them open a connection of their own. They come from `viewers` browsers, which
    an edge can tell apart. A request may take `patience_s`. The answering revision is the member
    `revision_field` of a JSON body or, if it is set, the header `revision_header`.

    `stream` is a long answer that is read to its end, again and again; it is complete if HTTP says
    so and its text ends with `stream_end`. Each one may take `stream_patience_s`.
    """

    url: str
    rate: float = 200.0
    seconds: float | None = None
    fresh_share: float = 0.1
    viewers: int = 100
    patience_s: float = 10.0
    revision_field: str = "revision"
    revision_header: str = ""
    stream: str = ""
    stream_end: str = ""
    stream_patience_s: float = 120.0

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError("rate must be more than 0")
        if not 0 <= self.fresh_share <= 1:
            raise ValueError("fresh_share must be from 0 to 1")
        if self.viewers < 1:
            raise ValueError("viewers must be at least 1")
