"""Read and write `.secrets.baseline`: what was found by the secret scan and is accepted.

The format is that of detect-secrets, whose own program may have written it:
https://github.com/Yelp/detect-secrets
"""

import json
import posixpath
from collections.abc import Iterable
from typing import Any, NamedTuple

from delivery.json_reader import read_json
from delivery.text import counted, shortened

FORMAT = "1.5.0"
BASELINE = ".secrets.baseline"
# How the remark begins by which a pull request shows what it adds.
ACCEPTS = "this pull request accepts in .secrets.baseline"
_NAMED, _LONGEST_NAME = 5, 60


class Found(NamedTuple):
    """One find: the SHA-1 of what was found stands for it, so that no report holds a secret."""

    file: str
    line: int
    kind: str
    digest: str


def accepted_by(baseline: str | None) -> set[tuple[str, str]]:
    """Return the files and digests of a baseline, without what somebody judged to be real.

    Raises `ValueError` for a text that is no baseline.
    """
    return {
        (file, one["hashed_secret"])
        for file, found in _results(baseline).items()
        for one in found
        if one.get("is_secret") is not True
    }


def newly_accepted(before: str | None, after: str | None) -> str:
    """Say what a pull request adds to the baseline; empty if that is nothing, or no baseline."""
    try:
        known, results = accepted_by(before), _results(after)
    except ValueError:
        return ""
    new = [
        f"{shortened(file, _LONGEST_NAME)}:{one.get('line_number', '?')} "
        f"({shortened(str(one.get('type', 'secret')), _LONGEST_NAME)})"
        for file, found in results.items()
        for one in found
        if (file, one["hashed_secret"]) not in known
    ]
    more = f" and {len(new) - _NAMED} more" if len(new) > _NAMED else ""
    return f"{ACCEPTS} {counted(len(new), 'find')}: {', '.join(new[:_NAMED])}{more}" if new else ""


def baseline_of(found: Iterable[Found], before: str | None) -> str:
    """Write a baseline that accepts what was found, and keeps all that stood in it `before`.

    Raises `ValueError` if `before` is no baseline.
    """
    results = _results(before)
    for each in sorted(set(found)):
        entries = results.setdefault(each.file, [])
        known = [one for one in entries if one["hashed_secret"] == each.digest]
        place = {"filename": each.file, "line_number": each.line}
        if known:
            known[0].update(place)
        else:
            kind = {"type": each.kind, "hashed_secret": each.digest, "is_verified": False}
            entries.append({**kind, **place})
    written = {"version": FORMAT, "plugins_used": [], "filters_used": []}
    if before is not None:
        written |= read_json(before)
    return json.dumps({**written, "results": results}, indent=2) + "\n"


def _results(baseline: str | None) -> dict[str, list[dict[str, Any]]]:
    if baseline is None:
        return {}
    try:
        return {
            # Windows writes the other slash.
            posixpath.normpath(file.replace("\\", "/")): [
                {**one, "hashed_secret": str(one["hashed_secret"])} for one in found
            ]
            for file, found in read_json(baseline)["results"].items()
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError("it is not one of detect-secrets") from error
