"""The one filter through which text from outside passes before a terminal, a log or a message.

A terminal obeys what it is sent: it clears the screen, writes over lines that were shown, fills the
clipboard, or answers as if somebody had typed. Control sequences: ECMA-48, and xterm's own
(https://invisible-island.net/xterm/ctlseqs/ctlseqs.html).
"""

import re

_SEQUENCES = re.compile(
    # Colours and movements, then commands with a text, up to BEL or ST on the same line.
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f\n]*(?:\x07|\x1b\\|\x9c)"
    # What begins such a command and does not end it: its text is shown.
    r"|\x1b[ -/]*[0-~]"
)
# C0 but tabs and line feeds, DEL, C1, separators of lines, and marks that reverse a text.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Remove what a terminal obeys, and what no UTF-8 can be written of; lines stay lines.

    A name of a file that is not UTF-8 has a surrogate for each such byte; each becomes `?`.
    """
    shown = _CONTROLS.sub("", _SEQUENCES.sub("", text))
    return shown.encode(errors="replace").decode()
