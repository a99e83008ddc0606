"""Codecov as far as uploads go: commits, and the reports that were stored for them."""

import base64
import json
import uuid
import zlib
from dataclasses import dataclass, field
from typing import Any

from sandbox.parts.faults import HttpFaults


@dataclass
class Upload:
    """One coverage upload; `files` are the reports by file name, once they were stored."""

    repository: str
    revision: str
    flags: list[str] = field(default_factory=list)
    branch: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    stored: bool = False


@dataclass
class Codecov:
    """Everything uploaded so far, by upload identifier. Any token is accepted; one is needed."""

    faults: HttpFaults = field(
        default_factory=lambda: HttpFaults({"detail": "Request was throttled."}), repr=False
    )
    uploads: dict[str, Upload] = field(default_factory=dict)
    commits: dict[str, dict[str, Any]] = field(default_factory=dict)

    def forget(self) -> None:
        self.uploads.clear()
        self.commits.clear()

    def commit(self, repository: str, requested: dict[str, Any]) -> dict[str, Any]:
        revision = str(requested.get("commitid", ""))
        self.commits[revision] = requested | {"repository": repository}
        return {"commitid": revision, "branch": requested.get("branch"), "state": "pending"}

    def upload(self, repository: str, revision: str, requested: dict[str, Any]) -> str:
        """Remember that a file will come; return the name it goes by."""
        name = str(uuid.uuid4())
        branch = requested.get("branch") or self.commits.get(revision, {}).get("branch")
        self.uploads[name] = Upload(
            repository, revision, list(requested.get("flags") or []), branch
        )
        return name

    def store(self, name: str, payload: bytes) -> None:
        """Keep the reports; raises KeyError for an unknown name, ValueError for nonsense."""
        upload = self.uploads[name]
        try:
            files = json.loads(payload)["coverage_files"]
            upload.files = {file["filename"]: _unpacked(file) for file in files}
        except (KeyError, TypeError, zlib.error) as error:
            raise ValueError(f"not a coverage upload: {error!r}") from error
        upload.stored = True


def _unpacked(file: dict[str, str]) -> str:
    packed = base64.b64decode(file["data"])
    if file["format"] == "base64+compressed":
        packed = zlib.decompress(packed)
    return packed.decode(errors="replace")
