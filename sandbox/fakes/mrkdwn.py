"""Convert Slack's message markup to HTML that is safe to show.

Source: https://docs.slack.dev/messaging/formatting-message-text. Everything is escaped; only
`http`, `https` and `mailto` addresses become links.
"""

import re

from markupsafe import Markup, escape
from rich.emoji import Emoji

_CODE = re.compile(r"```(.+?)```|`([^`\n]+)`", re.DOTALL)
_REFERENCE = re.compile(r"<([^<>|\n]+)(?:\|([^<>\n]*))?>")
_ADDRESS = re.compile(r"(?:https?://|mailto:)\S+", re.IGNORECASE)
_QUOTE = re.compile(r"^&gt; ?(.*)$", re.MULTILINE)
_STYLES = {
    name: re.compile(rf"(?<![\w{mark}])\{mark}(?=\S)([^\n]*?[^\s{mark}])\{mark}(?![\w{mark}])")
    for name, mark in {"strong": "*", "em": "_", "s": "~"}.items()
}
_KEPT = re.compile("\0(\\d+)\0")


def to_html(text: str) -> Markup:
    """Return the text as HTML: bold, italic, strike, code, quotes, links, mentions, emoji."""
    kept: list[Markup] = []

    def keep(markup: Markup) -> str:
        kept.append(markup)
        return f"\0{len(kept) - 1}\0"

    # Code and addresses are replaced by placeholders first: markup inside them is plain text.
    text = text.replace("\0", "")
    text = _CODE.sub(lambda found: keep(_code(found)), text)
    text = _REFERENCE.sub(lambda found: keep(_reference(found)), text)
    html = str(plain(_unescaped(text)))
    html = _QUOTE.sub(r"<blockquote>\1</blockquote>", html)
    for name, style in _STYLES.items():
        html = style.sub(rf"<{name}>\1</{name}>", html)
    return Markup(_KEPT.sub(lambda found: kept[int(found[1])], html))  # noqa: S704 - escaped above


def plain(text: str) -> Markup:
    """Return a `plain_text` object's text as HTML: emoji only."""
    return escape(Emoji.replace(text))


def link(address: str, label: str) -> Markup:
    """Return a link, or the bare label when the address is not one a browser should follow."""
    if not _ADDRESS.fullmatch(address):
        return plain(label)
    return Markup('<a href="{}" rel="noreferrer">{}</a>').format(address, plain(label))


def _code(found: re.Match[str]) -> Markup:
    if found[1] is not None:
        return Markup("<pre>{}</pre>").format(_unescaped(found[1].strip("\n")))
    return Markup("<code>{}</code>").format(_unescaped(found[2]))


def _reference(found: re.Match[str]) -> Markup:
    target, label = _unescaped(found[1]), _unescaped(found[2] or "")
    if _ADDRESS.fullmatch(target):
        return link(target, label or target)
    if target[0] in "@#!":
        name = label or target.removeprefix("!").split("^")[0]
        return Markup('<span class="mention">{}</span>').format(name)
    return escape(_unescaped(found[0]))


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
