"""Turn what a program writes into lines for a log."""

import codecs
from collections.abc import Callable

from delivery.printable import printable

LONGEST_LINE = 4000


class LineReader:
    """Turns bytes into whole lines, and passes each one to `say`.

    A line that carriage returns overwrite is passed on as it looked last, one of more than 4,000
    characters in pieces, and bytes that are not UTF-8 as U+FFFD.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""

    def feed(self, chunk: bytes) -> None:
        self._take(self._decoder.decode(chunk))

    def end(self) -> None:
        """Pass on what was written after the last line break, too."""
        self._take(self._decoder.decode(b"", final=True))
        if last := self._rest:
            self._rest = ""
            self._pass_on(last)

    def _take(self, text: str) -> None:
        *lines, rest = (self._rest + text).split("\n")
        for line in lines:
            self._pass_on(line)
        # A progress bar may write megabytes before its first line break.
        kept = rest.rstrip("\r")
        rest = kept.rpartition("\r")[2] + rest[len(kept) :][:1]
        while len(rest) > LONGEST_LINE:
            self._pass_on(rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
        self._rest = rest

    def _pass_on(self, line: str) -> None:
        shown = printable(line.rstrip("\r").rpartition("\r")[2]).rstrip()
        for start in range(0, max(len(shown), 1), LONGEST_LINE):
            self._say(shown[start : start + LONGEST_LINE])
