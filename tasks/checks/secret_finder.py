"""Look for secrets in files. A program of its own, since detect-secrets keeps global settings.

Run it as `python -I secret_finder.py LIST` in the folder of the checkout; LIST holds the
paths of the files, each ended by a zero byte. It prints one JSON object: `scanned` and
`too_large`, numbers of files, and `found`, a list of (file, line, kind, SHA-1 of the secret).

Detectors that guess (entropy, keywords) are left out: what is found here blocks a release, and
people soon switch off a check that is often wrong.
"""

import json
import re
import sys
from pathlib import Path

from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

DETECTORS = (
    *("ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector"),
    *("DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "JwtTokenDetector"),
    *("MailchimpDetector", "NpmDetector", "OpenAIDetector", "PrivateKeyDetector"),
    *("PypiTokenDetector", "SendGridDetector", "SlackDetector", "SquareOAuthDetector"),
    *("StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector"),
)
LARGEST_FILE = 1_000_000
# Yarn generates these: they hold long base64 texts, in which any pattern is found by chance.
_GENERATED = (".pnp.cjs", ".pnp.loader.mjs")

_PLACEHOLDER = re.compile(
    r"example|placeholder|change[-_]?me|your[-_]|dummy|redacted|xxxx|\*{3,}|<[^<>]*>|\.\.\.|[{}$]"
    r"|^(?:user(?:name)?|pass(?:word|wd)?|pwd|secret|token|test(?:ing)?|admin|root|guest|postgres"
    r"|mongo|redis|foo|bar|baz|abc|123\d*)$",
    re.IGNORECASE,
)
# A password of a server that only this machine or a test network reaches protects nothing.
_HARMLESS_HOST = re.compile(
    r"://[^\s/@]*@(?:localhost|127\.[\d.]+|\[::1\]|0\.0\.0\.0|host|hostname|server"
    r"|(?:[\w-]+\.)*example(?:\.\w+)?|[\w-]+\.(?:test|invalid|local))(?![\w.-])",
    re.IGNORECASE,
)


_WITH_A_LOGIN = re.compile(r"://([^\s/@]*)@")


def is_no_secret(secret: str, line: str, plugin: object) -> bool:
    """Return whether a find is an example, as in documentation; detect-secrets calls this."""
    kind = getattr(plugin, "secret_type", "")
    if kind == "Basic Auth Credentials":
        urls = [url for url in _WITH_A_LOGIN.finditer(line) if url[1].endswith(secret)]
        if urls and all(_HARMLESS_HOST.match(line, url.start()) for url in urls):
            return True
    return kind != "Private Key" and bool(_PLACEHOLDER.search(secret))


def find(paths: list[str]) -> dict[str, object]:
    files = [path for path in paths if _is_worth_reading(Path(path))]
    wanted = [path for path in files if Path(path).stat().st_size <= LARGEST_FILE]
    settings = {
        "plugins_used": [{"name": name} for name in DETECTORS],
        "filters_used": [
            {"path": "detect_secrets.filters.allowlist.is_line_allowlisted"},
            {"path": "detect_secrets.filters.heuristic.is_templated_secret"},
            {"path": "detect_secrets.filters.heuristic.is_indirect_reference"},
            {"path": f"file://{Path(__file__).resolve()}::is_no_secret"},
        ],
    }
    collection = SecretsCollection()
    with transient_settings(settings):
        for path in wanted:
            collection.scan_file(path)
    found = [
        (_shown(path), secret.line_number, secret.type, secret.secret_hash)
        for path, secret in collection
    ]
    too_large = len(files) - len(wanted)
    return {"scanned": len(wanted), "too_large": too_large, "found": sorted(found)}


def _shown(path: str) -> str:
    """Return a path that can be written as UTF-8: bytes that are none become `?`."""
    return path.encode(errors="replace").decode()


def _is_worth_reading(path: Path) -> bool:
    ignored = (".secrets.baseline", *_GENERATED)
    return path.is_file() and not path.is_symlink() and path.name not in ignored


if __name__ == "__main__":
    listed = Path(sys.argv[1]).read_bytes().decode(errors="surrogateescape").split("\0")
    sys.stdout.write(json.dumps(find([path for path in listed if path])))
