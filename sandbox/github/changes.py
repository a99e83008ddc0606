"""Describe the files changed between two revisions, as GitHub does."""

from itertools import zip_longest
from typing import Any
from urllib.parse import quote

from sandbox.github.api_request import ApiRequest
from sandbox.github.words import missing
from sandbox.parts.sample import git

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
MOST_FILES = 3000
_STATUS = {
    "A": "added",
    "D": "removed",
    "M": "modified",
    "R": "renamed",
    "C": "copied",
    "T": "changed",
}


def changed_files(request: ApiRequest, start: str | None, end: str) -> list[dict[str, Any]]:
    """Return the files that differ between two revisions; `start` is None for a first commit."""
    folder = request.repository.folder
    if folder is None:
        raise missing()
    span = ("-M", "--no-ext-diff", start or EMPTY_TREE, end)
    names = git(folder, "diff", "--raw", "-z", "--abbrev=40", *span).split("\0")
    counts = git(folder, "diff", "--numstat", "-z", *span).split("\0")
    patches = git(folder, "diff", "--no-color", *span).split("\ndiff --git ")
    files: list[dict[str, Any]] = []
    while names and names[0].startswith(":") and len(files) < MOST_FILES:
        head, own = names.pop(0).split(" "), names.pop(0)
        added, removed, _ = counts.pop(0).split("\t")
        former = {}
        if head[4][0] in "RC":
            former, own = {"previous_filename": own}, names.pop(0)
            del counts[:2]
        files.append(
            file_json(request, end, own, _STATUS[head[4][0]], added, removed)
            | {"sha": head[3] if set(head[3]) != {"0"} else head[2]}
            | former
        )
    for file, patch in zip_longest(files, patches[: len(files)]):
        # Binary files have no patch.
        if patch and "\n@@" in patch:
            file["patch"] = patch[patch.index("\n@@") + 1 :]
    return files


def file_json(
    request: ApiRequest, revision: str, path: str, status: str, added: str = "0", removed: str = "0"
) -> dict[str, Any]:
    plus, minus = (int(each) if each.isdecimal() else 0 for each in (added, removed))
    site, name = f"{request.github.address}/{request.name}", quote(path)
    return {
        "sha": None,
        "filename": path,
        "status": status,
        "additions": plus,
        "deletions": minus,
        "changes": plus + minus,
        "blob_url": f"{site}/blob/{revision}/{name}",
        "raw_url": f"{site}/raw/{revision}/{name}",
        "contents_url": f"{request.base}/contents/{name}?ref={revision}",
    }


def together(files: list[dict[str, Any]]) -> dict[str, int]:
    plus = sum(file["additions"] for file in files)
    minus = sum(file["deletions"] for file in files)
    return {"additions": plus, "deletions": minus, "total": plus + minus}
