"""Serve Codecov's upload API as codecov-cli 11 uses it: commit, report, upload, stored file.

Source of the protocol: codecov_cli/services and docs.codecov.com/reference. Addresses name a
repository as `owner::::repository`.
"""

import json
import uuid
from dataclasses import asdict
from datetime import UTC, datetime

from aiohttp import web

from sandbox.fakes.codecov import Codecov


class CodecovWeb:
    """Serves the API below `prefix`, the address to pass to `codecovcli --url`."""

    def __init__(self, codecov: Codecov, prefix: str = "/codecov") -> None:
        self._codecov = codecov
        self._prefix = prefix

    def routes(self) -> list[web.RouteDef]:
        repository = f"{self._prefix}/upload/{{service}}/{{repository}}"
        commit = f"{repository}/commits/{{revision}}"
        return [
            web.get("/codecov.json", self._remembered),
            web.post(f"{repository}/commits", self._create_commit),
            web.post(f"{commit}/reports", self._create_report),
            web.post(f"{commit}/reports/{{code}}/uploads", self._upload),
            web.post(f"{repository}/upload-coverage", self._upload),
            web.post(f"{commit}/upload-complete", self._finish),
            web.post(f"{commit}/empty-upload", self._finish),
            web.put(f"{self._prefix}/storage/{{name}}", self._store),
            web.route("*", f"{self._prefix}/{{path:.*}}", self._not_served),
        ]

    async def _create_commit(self, request: web.Request) -> web.Response:
        _require_token(request)
        answer = self._codecov.commit(_repository(request), await request.json())
        return web.json_response(answer, status=201)

    async def _create_report(self, request: web.Request) -> web.Response:
        _require_token(request)
        requested = await request.json()
        return web.json_response(
            {"external_id": str(uuid.uuid4()), "created_at": _now(), "code": requested.get("code")},
            status=201,
        )

    async def _upload(self, request: web.Request) -> web.Response:
        _require_token(request)
        requested = await request.json()
        revision = request.match_info.get("revision") or str(requested.get("commitid", ""))
        if "revision" not in request.match_info:
            self._codecov.commit(_repository(request), requested)
        name = self._codecov.upload(_repository(request), revision, requested)
        here = str(request.url.origin()) + self._prefix
        return web.json_response(
            {
                "external_id": name,
                "created_at": _now(),
                "raw_upload_location": f"{here}/storage/{name}",
                "url": f"{here}/{_repository(request)}/commit/{revision}",
            },
            status=201,
        )

    async def _store(self, request: web.Request) -> web.Response:
        try:
            self._codecov.store(request.match_info["name"], await request.read())
        except KeyError:
            return web.Response(status=404)
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        return web.Response()

    async def _finish(self, request: web.Request) -> web.Response:
        _require_token(request)
        return web.json_response({"result": "ok", "uploads_total": len(self._codecov.uploads)})

    async def _not_served(self, request: web.Request) -> web.Response:
        detail = f"The sandbox's Codecov does not serve {request.method} {request.path}."
        return web.json_response({"detail": detail}, status=501)

    async def _remembered(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(upload) for upload in self._codecov.uploads.values()])


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
