"""Make two builds of Next.js the same: fix what is random, and remove the build's folder.

Measured with Next 16 (tests/flows/release/test_release.py builds the sample application twice): the
build leaves its own folder in server.js and two manifests, generates random keys for preview mode
and server actions, and gives itself a random id unless the application sets `generateBuildId`.

None of these keys is a secret: an archive that anybody may download shows them in any case. An
application that uses preview mode or server actions with bound values gets
NEXT_SERVER_ACTIONS_ENCRYPTION_KEY where the server runs; the image, which is not this archive, is
built with keys of its own.
"""

import base64
import hashlib
import re
from typing import Any

from delivery.json_reader import read_json

# The image has the application there, too.
HOME = "/app"
STANDALONE = ".next/standalone"
PRERENDER = ".next/prerender-manifest.json"
REFERENCES = ".next/server/server-reference-manifest.json"
BUILD_ID = ".next/BUILD_ID"
# What `nanoid` generates for a build without an id: https://nextjs.org/docs (generateBuildId).
_DRAWN = re.compile(r"[A-Za-z0-9_-]{21}")
_SHORTEST = 16


def build_variables(revision: str, moment: int) -> dict[str, str]:
    """Return the variables of a build; `moment` is when the commit was made, in Unix seconds."""
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
    """Map traces of the build's folder and of chance to what stands there instead.

    `folder` is where it was built; the others are the texts of its manifests, empty if there are
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
        found = read_json(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
