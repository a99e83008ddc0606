"""Look for secrets in files. A program of its own, since detect-secrets keeps global settings.

Run it as `python -I secret_finder.py LIST` in the folder of the checkout; LIST holds the
paths of the files, each ended by a zero byte. It prints one JSON object: `scanned`, a number of
files, `unread`, a list of the files that are too large, and `found`, a list of (file, line, kind,
SHA-1 of the secret).

Detectors that guess (entropy, keywords) are left out: what is found here blocks a release, and
people soon switch off a check that is often wrong. Of detect-secrets only its detectors are used:
its reader skips a file that is not UTF-8, and its filters each line that calls a function.
"""

import json
import re
import sys
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path

from detect_secrets.core.plugins.initialize import from_plugin_classname
from detect_secrets.filters.allowlist import is_line_allowlisted
from detect_secrets.plugins.base import BasePlugin
from detect_secrets.util.code_snippet import get_code_snippet

DETECTORS = (
    *("ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector"),
    *("DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "JwtTokenDetector"),
    *("MailchimpDetector", "NpmDetector", "OpenAIDetector", "PrivateKeyDetector"),
    *("PypiTokenDetector", "SendGridDetector", "SlackDetector", "SquareOAuthDetector"),
    *("StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector"),
)
# As detect-secrets calls it, so that baselines which it wrote are understood.
IN_A_URL = "Basic Auth Credentials"
PRIVATE_KEY = "Private Key"
BASELINE = ".secrets.baseline"
LARGEST_FILE = 20_000_000
# Some detectors look at a line again and again, so that a very long one is read in pieces, each of
# which begins with the end of the one before.
LONGEST_PIECE, OVERLAP = 10_000, 2_000
# Yarn generates these: they hold long base64 texts, in which any pattern is found by chance.
_GENERATED = (".pnp.cjs", ".pnp.loader.mjs")

# What a program fills in: ${NAME}, {{ name }}, #{name}, %(name)s.
_FILLED_IN = re.compile(r"[$#]\{[^{}]*\}|\{\{[^{}]*\}\}|%\([^()]*\)s")
# The same in languages whose sign may stand in a password, too: so it must be the whole of one.
_TEMPLATE = re.compile(r"\{[^{}]*\}|\$\w+|%\w+%?|<[^<>]*>|:\w+")
_PLACEHOLDER = re.compile(
    r"example|placeholder|change[-_]?me|your[-_]|dummy|redacted|xxxx|\*{3,}|\.\.\."
    r"|^(?:user(?:name)?|pass(?:word|wd)?|pwd|secret|token|test(?:ing)?|admin|root|guest|postgres"
    r"|mongo|redis|foo|bar|baz|abc|123\d*|key[-_]?\d*)$",
    re.IGNORECASE,
)
# `scheme://user:password@host`; the user may be absent, and a password is taken as people write
# it, also where RFC 3986 asks for percent signs. JSON may escape a slash.
_LOGIN = re.compile(r":(?:\\?/){2}([^\s/?\"'`<>\\]*)@([^\s/?#\"'`<>\\)]*)")
# `…://host/path?user=…&password=…`, as JDBC and libpq take it.
_URL = re.compile(r":(?:\\?/){2}([^\s\"'`<>\\]+)")
_IN_QUERY = re.compile(r"[?&;](?:password|passwd|pwd)=([^\s&;]+)", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+")
_MUCH_LONGER = 40
# A password of a server that only this machine or a test network reaches protects nothing.
_HARMLESS_HOST = re.compile(
    r"localhost|127\.[\d.]+|\[::1\]|0\.0\.0\.0|host|hostname|server"
    r"|(?:[\w-]+\.)*example(?:\.\w+)?|[\w-]+\.(?:test|invalid|local)",
    re.IGNORECASE,
)


def find(paths: list[str]) -> dict[str, object]:
    files = [path for path in paths if _is_worth_reading(Path(path))]
    unread = [path for path in files if Path(path).stat().st_size > LARGEST_FILE]
    wanted = [path for path in files if Path(path).stat().st_size <= LARGEST_FILE]
    found = {each for path in wanted for each in found_in(path)}
    return {
        "scanned": len(wanted),
        "unread": sorted(map(_shown, unread)),
        "found": sorted(found),
    }


def found_in(path: str) -> Iterator[tuple[str, int, str, str]]:
    """Yield what one file holds, whatever its encoding is; a binary one is read as Latin-1."""
    from delivery.text import text_of

    detectors: list[BasePlugin] = [from_plugin_classname(name) for name in DETECTORS]
    shown = _shown(path)
    lines = re.split(r"\r\n|\r|\n", text_of(Path(path).read_bytes()))
    for number, piece in _pieces(lines):
        secrets = [
            (detector.secret_type, secret)
            for detector in detectors
            for secret in detector.analyze_string(piece)
        ]
        secrets += [(IN_A_URL, secret) for secret in passwords_in_urls(piece)]
        for kind, secret in secrets:
            if is_placeholder(kind, secret) or _is_by_chance(secret, piece):
                continue
            if not _is_accepted(shown, lines, number):
                yield shown, number, kind, _digest(secret)


def _pieces(lines: list[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, 1):
        for start in range(0, max(len(line) - OVERLAP, 1), LONGEST_PIECE - OVERLAP):
            yield number, line[start : start + LONGEST_PIECE]


def passwords_in_urls(line: str) -> Iterator[str]:
    """Yield each password that stands in a URL of a line, unless its server is a harmless one."""
    for url in _LOGIN.finditer(line):
        _, _, password = url[1].partition(":")
        if password and not _are_harmless(url[2]):
            yield password
    for url in _URL.finditer(line):
        hosts = re.split(r"[/?#;]", url[1], maxsplit=1)[0].rpartition("@")[2]
        if not _are_harmless(hosts):
            yield from _IN_QUERY.findall(url[1])


def is_placeholder(kind: str, secret: str) -> bool:
    """Return whether a find is an example, as in documentation, or is filled in by a program."""
    if kind == PRIVATE_KEY:
        return False
    written = _FILLED_IN.sub("", secret)
    return (
        not written
        or bool(_TEMPLATE.fullmatch(secret))
        or bool(_PLACEHOLDER.search(secret))
        # `prefix-${NAME}` holds nothing worth keeping.
        or (written != secret and len(written) < 6)
    )


def _is_by_chance(secret: str, piece: str) -> bool:
    """Return whether a find is only part of long base64 texts, as of a program or a picture.

    In a megabyte of them the pattern of an AWS key is found by chance.
    """
    if not _BASE64.fullmatch(secret) or not piece:
        return False
    longer = [run[0] for run in _BASE64.finditer(piece) if secret in run[0]]
    return bool(longer) and all(len(run) >= len(secret) + _MUCH_LONGER for run in longer)


def _are_harmless(hosts: str) -> bool:
    """Return whether the part of a URL after a login names only hosts that protect nothing."""
    return all(
        _HARMLESS_HOST.fullmatch(host if host.endswith("]") else host.rpartition(":")[0] or host)
        for host in hosts.split(",")
    )


def _is_accepted(path: str, lines: list[str], number: int) -> bool:
    """Return whether a comment marks the line as no secret: `pragma: allowlist secret`."""
    context = get_code_snippet(lines, number)
    return bool(is_line_allowlisted(path, lines[number - 1].rstrip(), context))


def _digest(secret: str) -> str:
    # As in detect-secrets' baselines; it protects nothing here.
    return sha1(secret.encode(errors="replace"), usedforsecurity=False).hexdigest()


def _shown(path: str) -> str:
    """Return a path that can be written as UTF-8: bytes that are none become `?`."""
    return path.encode(errors="replace").decode()


def _is_worth_reading(path: Path) -> bool:
    is_ours = path == Path(BASELINE) or path.name in _GENERATED
    return path.is_file() and not path.is_symlink() and not is_ours


if __name__ == "__main__":
    # `python -I` looks for modules of Python only.
    sys.path.append(str(Path(__file__).parents[2]))
    listed = Path(sys.argv[1]).read_bytes().decode(errors="surrogateescape").split("\0")
    sys.stdout.write(json.dumps(find([path for path in listed if path])))
