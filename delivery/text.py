"""Make text safe to show: drop control characters, escape it for Slack or Markdown, bound it."""

import re

# Sequences that a terminal obeys, and marks that reverse the direction of the text after them.
_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


def duration(seconds: float) -> str:
    """Write seconds as people say them: `42 s`, `3 min 05 s`, `5 h 07 min`, `2 d 04 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 2 * 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def counted(number: int, what: str) -> str:
    """Write a number of things in the singular or the plural: `1 check`, `8 checks`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def plain(text: str) -> str:
    """Put text on one line, without control characters or escape sequences."""
    return " ".join(_CONTROL.sub("", writable(text)).split())


def writable(text: str) -> str:
    """Return text that can be written as UTF-8.

    A name of a file that is not UTF-8 has a surrogate for each such byte; each becomes `?`.
    """
    return text.encode(errors="replace").decode()


def escaped(text: str) -> str:
    """Escape text so that Slack shows it as it is; Slack asks to escape `&`, `<` and `>`."""
    shown = (
        _CONTROL.sub("", writable(text))
        .replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
    )
    return unfenced(shown)


def unfenced(text: str) -> str:
    """Escape text so that it cannot end the fenced block of code in which it stands."""
    return text.replace("```", "'''")


def quoted(text: str) -> str:
    """Quote a name from outside: control characters are escaped, and 80 characters are kept."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def cut(line: str, size: int) -> str:
    """Keep the first `size` characters of a line, as it is; a longer one ends with `…`."""
    return line if len(line) <= size else f"{line[: size - 1]}…"


def shortened(text: str, size: int) -> str:
    """Put text on one line of at most `size` characters; a longer one ends with `…`."""
    return cut(plain(text), size)


def clipped(text: str, size: int) -> str:
    """Keep the end of a long text: a failing program says why in its last lines."""
    return text if len(text) <= size else f"…{text[-size:]}"


def both_ends(text: str, size: int) -> str:
    """Keep the beginning and the end of a long text, with `…` in between.

    A failure says first what happened, and last why.
    """
    if len(text) <= size:
        return text
    head = size // 2
    return f"{text[:head]} … {text[head - size :]}"


_TABLE_MARKUP = re.compile(r"[\\*\[\]!|]")


def cell(text: str) -> str:
    """Escape text for a cell of a Markdown table: it cannot end the cell or become markup."""
    return _TABLE_MARKUP.sub(r"\\\g<0>", plain(text)).replace("<", "&lt;")


LONGEST_SUBJECT = 200


JOINER = "\N{WORD JOINER}"


# All of ASCII's punctuation can be escaped in GitHub's Markdown
# (https://github.github.com/gfm/#backslash-escapes); these could mean something within a line.
_LINE_MARKUP = re.compile(r"[\\`*_{}\[\]()<>#+!|~&:$-]")


_REACHES_SOMEBODY = re.compile(r"[@#]|:(?=//)|www(?=\.)|GH(?=-[0-9])", re.IGNORECASE)


def as_markdown(text: str) -> str:
    """Escape a stranger's text for one line of Markdown: it becomes no link and no mention.

    GitHub makes links of names, numbers and addresses even where they are escaped, so an invisible
    joiner stands in what would be one (https://github.github.com/gfm/#autolinks-extension-).
    """
    line = plain(text)[:LONGEST_SUBJECT]
    parted = _REACHES_SOMEBODY.sub(lambda found: found[0] + JOINER, line)
    return _LINE_MARKUP.sub(
        r"\\\g<0>", "".join(c for c in parted if c.isprintable() or c == JOINER)
    )
