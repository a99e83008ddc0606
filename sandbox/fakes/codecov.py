"""A fake Codecov that stores commits and the coverage reports uploaded for them."""

import base64
import json
import uuid
import zlib
from dataclasses import dataclass, field
from typing import Any

from sandbox.parts.faults import HttpFaults


@dataclass
class Upload:
    """One coverage upload; `files` maps file names to reports once they are stored."""

    repository: str
    revision: str
    flags: list[str] = field(default_factory=list)
    branch: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    stored: bool = False


@dataclass
class Codecov:
    """Stores every upload by its identifier. Any token is accepted, but one is required."""

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
        """Announce a file that will be uploaded; return its identifier."""
        name = str(uuid.uuid4())
        branch = requested.get("branch") or self.commits.get(revision, {}).get("branch")
        self.uploads[name] = Upload(
            repository, revision, list(requested.get("flags") or []), branch
        )
        return name

    def store(self, name: str, payload: bytes) -> None:
        """Store the reports; raises KeyError for an unknown name, ValueError for anything else."""
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
