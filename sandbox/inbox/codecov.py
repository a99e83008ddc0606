"""Codecov's upload API, as codecov-cli 11 speaks it: commit, report, upload, stored file.

Source of the protocol: codecov_cli/services and docs.codecov.com/reference. A repository is named
`owner::::repository` in addresses.
"""

import base64
import json
import uuid
import zlib
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from sandbox.faults import Faults


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

    faults: Faults = field(
        default_factory=lambda: Faults({"detail": "Request was throttled."}), repr=False
    )
    uploads: dict[str, Upload] = field(default_factory=dict)
    commits: dict[str, dict[str, Any]] = field(default_factory=dict)

    def forget(self) -> None:
        self.uploads.clear()
        self.commits.clear()

    def commit(self, repository: str, wish: dict[str, Any]) -> dict[str, Any]:
        revision = str(wish.get("commitid", ""))
        self.commits[revision] = wish | {"repository": repository}
        return {"commitid": revision, "branch": wish.get("branch"), "state": "pending"}

    def upload(self, repository: str, revision: str, wish: dict[str, Any]) -> str:
        """Remember that a file will come; return the name it goes by."""
        name = str(uuid.uuid4())
        branch = wish.get("branch") or self.commits.get(revision, {}).get("branch")
        self.uploads[name] = Upload(repository, revision, list(wish.get("flags") or []), branch)
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


def routes(codecov: Codecov, prefix: str = "/codecov") -> list[web.RouteDef]:
    """Return the routes below `prefix`, which `codecovcli --url` takes for Codecov."""
    repository = f"{prefix}/upload/{{service}}/{{repository}}"
    commit = f"{repository}/commits/{{revision}}"

    async def create_commit(request: web.Request) -> web.Response:
        _require_token(request)
        answer = codecov.commit(_repository(request), await request.json())
        return web.json_response(answer, status=201)

    async def create_report(request: web.Request) -> web.Response:
        _require_token(request)
        wish = await request.json()
        return web.json_response(
            {"external_id": str(uuid.uuid4()), "created_at": _now(), "code": wish.get("code")},
            status=201,
        )

    async def upload(request: web.Request) -> web.Response:
        _require_token(request)
        wish = await request.json()
        revision = request.match_info.get("revision") or str(wish.get("commitid", ""))
        if "revision" not in request.match_info:
            codecov.commit(_repository(request), wish)
        name = codecov.upload(_repository(request), revision, wish)
        here = str(request.url.origin()) + prefix
        return web.json_response(
            {
                "external_id": name,
                "created_at": _now(),
                "raw_upload_location": f"{here}/storage/{name}",
                "url": f"{here}/{_repository(request)}/commit/{revision}",
            },
            status=201,
        )

    async def store(request: web.Request) -> web.Response:
        try:
            codecov.store(request.match_info["name"], await request.read())
        except KeyError:
            return web.Response(status=404)
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        return web.Response()

    async def finish(request: web.Request) -> web.Response:
        _require_token(request)
        return web.json_response({"result": "ok", "uploads_total": len(codecov.uploads)})

    async def not_served(request: web.Request) -> web.Response:
        detail = f"The sandbox's Codecov does not serve {request.method} {request.path}."
        return web.json_response({"detail": detail}, status=501)

    async def remembered(request: web.Request) -> web.Response:
        return web.json_response([asdict(upload) for upload in codecov.uploads.values()])

    return [
        web.get("/codecov.json", remembered),
        web.post(f"{repository}/commits", create_commit),
        web.post(f"{commit}/reports", create_report),
        web.post(f"{commit}/reports/{{code}}/uploads", upload),
        web.post(f"{repository}/upload-coverage", upload),
        web.post(f"{commit}/upload-complete", finish),
        web.post(f"{commit}/empty-upload", finish),
        web.put(f"{prefix}/storage/{{name}}", store),
        web.route("*", f"{prefix}/{{path:.*}}", not_served),
    ]


def _repository(request: web.Request) -> str:
    return request.match_info["repository"].replace("::::", "/")


def _require_token(request: web.Request) -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme != "token" or not token:
        raise web.HTTPUnauthorized(
            text=json.dumps({"message": "Failed token authentication"}),
            content_type="application/json",
        )


def _now() -> str:
    return datetime.now(UTC).isoformat()
