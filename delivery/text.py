"""Make text safe to show: drop control characters, escape it for Slack or Markdown, bound it."""

import codecs
import re

from delivery.printable import printable

# The longer marks first: that of UTF-32 begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Text in UTF-16 that is mostly ASCII, as source code is.
_LOOKED_AT, _MOSTLY = 4096, 0.7


def text_of(content: bytes) -> str:
    """Decode what anybody may have written: by its byte order mark, as UTF-8, else as Latin-1.

    UTF-16 without a mark is known by its zero bytes. Nothing is refused and nothing is left out:
    what does not keep to its encoding has U+FFFD in it, and every byte is a character of Latin-1.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    for first_zero, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = (_share_of_zeros(content, each) for each in (first_zero, 1 - first_zero))
        if zeros > _MOSTLY and not others:
            return content.decode(encoding, errors="replace")
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _share_of_zeros(content: bytes, first: int) -> float:
    """Return how many of every second byte at the beginning are zero, from `first` on."""
    looked_at = content[first:_LOOKED_AT:2]
    return looked_at.count(0) / len(looked_at) if looked_at else 0


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
    return " ".join(printable(text).split())


def escaped(text: str) -> str:
    """Escape text so that Slack shows it as it is; Slack asks to escape `&`, `<` and `>`."""
    shown = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
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
