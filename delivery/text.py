"""Text that is safe to show: without control characters, escaped for Slack or Markdown, bounded."""

import re

# What a terminal obeys, and what turns the text after it round.
_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


def duration(seconds: float) -> str:
    """Seconds as people say them: `42 s`, `3 min 05 s`, `5 h 07 min`, `2 d 04 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 2 * 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def counted(number: int, what: str) -> str:
    """A number of things, in the singular or the plural: `1 check`, `8 checks`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def plain(text: str) -> str:
    """Text on one line without control characters or escape sequences."""
    return " ".join(_CONTROL.sub("", text).split())


def escaped(text: str) -> str:
    """Text that Slack shows as it is; the three characters are those Slack asks to escape."""
    shown = _CONTROL.sub("", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return shown.replace("```", "'''")


def shortened(text: str, size: int) -> str:
    """Text on one line of at most `size` characters; a longer one ends with `…`."""
    line = plain(text)
    return line if len(line) <= size else f"{line[: size - 1]}…"


def clipped(text: str, size: int) -> str:
    """The end of a long text: a failing program says why in its last lines."""
    return text if len(text) <= size else f"…{text[-size:]}"


_TABLE_MARKUP = re.compile(r"[\\*\[\]!|]")


def cell(text: str) -> str:
    """Text that cannot break out of a table's cell, nor become markup: it may be a stranger's."""
    return _TABLE_MARKUP.sub(r"\\\g<0>", plain(text)).replace("<", "&lt;")


LONGEST_SUBJECT = 200


JOINER = "\N{WORD JOINER}"


# All of ASCII's punctuation can be escaped in GitHub's Markdown
# (https://github.github.com/gfm/#backslash-escapes); these could mean something within a line.
_LINE_MARKUP = re.compile(r"[\\`*_{}\[\]()<>#+!|~&:$-]")


_REACHES_SOMEBODY = re.compile(r"[@#]|:(?=//)|www(?=\.)|GH(?=-[0-9])", re.IGNORECASE)


def as_markdown(text: str) -> str:
    """A stranger's text on one line of Markdown, as it is: it links to nobody and nothing.

    GitHub makes links of names, numbers and addresses even where they are escaped, so an invisible
    joiner stands in what would be one (https://github.github.com/gfm/#autolinks-extension-).
    """
    line = plain(text)[:LONGEST_SUBJECT]
    parted = _REACHES_SOMEBODY.sub(lambda found: found[0] + JOINER, line)
    return _LINE_MARKUP.sub(
        r"\\\g<0>", "".join(c for c in parted if c.isprintable() or c == JOINER)
    )


# Too deep a nesting, or too long a number, is no syntax error to Python.
NOT_JSON = (ValueError, RecursionError)
