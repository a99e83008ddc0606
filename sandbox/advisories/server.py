"""Serve the advisory endpoints of an npm registry.

Protocol: `POST /-/npm/v1/security/advisories/bulk` takes versions by package and answers advisories
by package. `POST /-/npm/v1/security/audits/quick` and `/audits`, which took a tree (npm 6, pnpm 9,
Yarn 1 to 3), answer 410, as the public registry's do. Bodies may be gzipped.
"""

import itertools
import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from sandbox.advisories import upstream
from sandbox.advisories.advisory import Advisory
from sandbox.parts import faults
from sandbox.parts.faults import HttpFaults
from sandbox.parts.part import Part
from sandbox.parts.web import LARGEST_BODY, WebServer

FIXTURES = {name: Path(__file__).with_name(f"{name}.json") for name in ("quiet", "loud")}


# What is made up here must never be taken for the word of a real registry.
STAND_IN = {"kanvaro-stand-in": "advisories of the sandbox"}


class Advisories(Part):
    """Serves advisories while it is entered; use it with `npm audit --registry URL`.

    `use("quiet")` publishes advisories that affect no existing package, `use("loud")` some that
    affect the sample application; `publish(...)` adds one. The same over HTTP: `PUT
    /_sandbox/advisories {"fixture": "loud"}`, `POST /_sandbox/advisories`, and
    `/_sandbox/advisories/faults`.
    """

    def __init__(self, fixture: str = "quiet", *, port: int = 0, registry: str = "") -> None:
        self.faults = HttpFaults({"message": "Too Many Requests"})
        self._published: list[Advisory] = []
        # npm caches an advisory by its number, so each published one gets a new number.
        self._numbers = itertools.count(int(time.time()))
        self._registry: str | None = registry or None
        self.use(fixture)
        self._server = WebServer(self._application, port=port)

    def _start(self, stack: ExitStack) -> None:
        stack.enter_context(self._server)

    @property
    def url(self) -> str:
        return self._server.url

    def use(self, fixture: str) -> None:
        """Publish exactly what the fixture contains; raises ValueError for an unknown one."""
        if fixture not in FIXTURES:
            raise ValueError(f"fixture must be one of: {', '.join(FIXTURES)}")
        self._published = list(Advisory.load(FIXTURES[fixture]))

    def publish(
        self, package: str, severity: str, vulnerable_versions: str, title: str = ""
    ) -> Advisory:
        """Add an advisory; raises ValueError if npm would not accept it."""
        advisory = Advisory(
            package,
            next(self._numbers),
            title or f"Made-up advisory of the sandbox for {package}",
            severity,
            vulnerable_versions,
        )
        self._published.append(advisory)
        return advisory

    def about(self, versions: dict[str, list[str]]) -> dict[str, list[Advisory]]:
        """Return the advisories that affect any of the versions, by package."""
        found: dict[str, list[Advisory]] = {}
        for advisory in self._published:
            if any(advisory.concerns(version) for version in versions.get(advisory.package, [])):
                found.setdefault(advisory.package, []).append(advisory)
        return found

    def _application(self) -> web.Application:
        application = web.Application(
            client_max_size=LARGEST_BODY,
            middlewares=[faults.middleware(self._faults_of)],
        )
        application.add_routes(
            [
                web.route("*", "/_sandbox/advisories/faults", self._control_faults),
                web.get("/_sandbox/advisories", self._listing),
                web.post("/_sandbox/advisories", self._publish),
                web.put("/_sandbox/advisories", self._use),
                web.post("/-/npm/v1/security/advisories/bulk", self._bulk),
                web.post("/-/npm/v1/security/audits/quick", self._retired),
                web.post("/-/npm/v1/security/audits", self._retired),
                web.get("/-/ping", self._ping),
                web.get("/{package:[^-_].*}", self._document),
            ]
        )
        return application

    def _faults_of(self, request: web.Request) -> HttpFaults | None:
        return None if request.path.startswith("/_sandbox/") else self.faults

    async def _control_faults(self, request: web.Request) -> web.Response:
        return await faults.control_faults(request, self.faults)

    async def _listing(self, request: web.Request) -> web.Response:
        return web.json_response([{"package": a.package, **a.as_bulk()} for a in self._published])

    async def _publish(self, request: web.Request) -> web.Response:
        try:
            self.publish(**await request.json())
        except (TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return await self._listing(request)

    async def _use(self, request: web.Request) -> web.Response:
        try:
            self.use((await request.json())["fixture"])
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return await self._listing(request)

    async def _bulk(self, request: web.Request) -> web.Response:
        try:
            versions = _versions(json.loads(await request.read()))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        found = self.about(versions)
        return web.json_response(
            {name: [a.as_bulk() for a in all_] for name, all_ in found.items()}, headers=STAND_IN
        )

    async def _retired(self, request: web.Request) -> web.Response:
        error = "This endpoint is being retired. Use the bulk advisory endpoint instead."
        return web.json_response({"error": error}, status=410)

    async def _ping(self, request: web.Request) -> web.Response:
        return web.json_response({})

    async def _document(self, request: web.Request) -> web.Response:
        """Forward a package's document from the registry that this machine's npm uses."""
        self._registry = self._registry or await upstream.configured_registry()
        if not self._registry:
            return _unknown("this machine's npm names no registry")
        path = request.url.raw_path.lstrip("/")
        try:
            answer = await upstream.package_document(
                self._registry, path, request.headers.get("Accept", "application/json")
            )
        except httpx.HTTPError as error:
            return _unknown(f"the registry of this machine's npm does not answer: {error!r}")
        return web.Response(
            body=answer.content,
            status=answer.status_code,
            headers={"Content-Type": answer.headers.get("Content-Type", "application/json")},
        )


def _versions(body: Any) -> dict[str, list[str]]:
    if not isinstance(body, dict) or not all(
        isinstance(versions, list) and all(isinstance(version, str) for version in versions)
        for versions in body.values()
    ):
        raise ValueError("send lists of versions by package name")
    return body


def _unknown(reason: str) -> web.Response:
    return web.json_response({"error": f"The sandbox holds no packages, and {reason}."}, status=502)
