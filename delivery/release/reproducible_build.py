"""What makes two builds of Next.js the same: its chance is fixed, and its place is taken out.

Measured with Next 16 (tests/flows/release/test_release.py builds the sample application twice):
the build
leaves its own folder in server.js and two manifests, draws the keys of preview mode and of server
actions, and names itself by chance unless the application sets `generateBuildId`.

None of these keys is a secret: an archive that anybody may download shows them in any case. Who
uses preview mode or server actions with bound values sets NEXT_SERVER_ACTIONS_ENCRYPTION_KEY where
the server runs, and builds the image (which is not this archive) with keys of its own.
"""

import base64
import hashlib
import json
import re
from typing import Any

from delivery.text import NOT_JSON

# Where the image has it, too.
HOME = "/app"
STANDALONE = ".next/standalone"
PRERENDER = ".next/prerender-manifest.json"
REFERENCES = ".next/server/server-reference-manifest.json"
BUILD_ID = ".next/BUILD_ID"
# What `nanoid` draws for a build that is given no name: https://nextjs.org/docs (generateBuildId).
_DRAWN = re.compile(r"[A-Za-z0-9_-]{21}")
_SHORTEST = 16


def build_variables(revision: str, moment: int) -> dict[str, str]:
    """The environment of a build; `moment` is that of the commit, in seconds since 1970."""
    key = base64.b64encode(hashlib.sha256(_seed("server actions", revision)).digest()).decode()
    return {
        "REVISION": revision,
        "NODE_ENV": "production",
        "SOURCE_DATE_EPOCH": str(moment),
        "NEXT_SERVER_ACTIONS_ENCRYPTION_KEY": key,
    }


def replacements(
    folder: str, build_id: str, prerender: str, references: str, revision: str
) -> dict[bytes, bytes]:
    """What a build left of its own place and of chance, and what stands there instead.

    `folder` is where it was built; the others are texts of its manifests, empty where there are
    none. A build id that the application chose is kept.
    """
    drawn = {}
    if _DRAWN.fullmatch(build_id):
        drawn[build_id] = revision[: len(build_id)]
    keys = _object(prerender).get("preview")
    for name, key in sorted(keys.items()) if isinstance(keys, dict) else ():
        if isinstance(key, str) and len(key) >= _SHORTEST:
            drawn[key] = hashlib.sha256(_seed(name, revision)).hexdigest()[: len(key)]
    if isinstance(key := _object(references).get("encryptionKey"), str) and len(key) >= _SHORTEST:
        drawn[key] = build_variables(revision, 0)["NEXT_SERVER_ACTIONS_ENCRYPTION_KEY"]
    return {
        folder.encode(): HOME.encode(),
        **{old.encode(): new.encode() for old, new in drawn.items() if old != new},
    }


def _seed(name: str, revision: str) -> bytes:
    return f"kanvaro-delivery {name} of {revision}".encode()


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except NOT_JSON:
        return {}
    return found if isinstance(found, dict) else {}
