"""Let tests in another process set faults, start maintenance and read the state: `/_sandbox/*`."""

import json
from typing import Any

from aiohttp import web

from sandbox.app_runner.api.protocol import Control
from sandbox.app_runner.region import Region


class ControlEndpoint:
    """Takes and returns JSON; an invalid request is answered with 400 and a sentence."""

    def __init__(self, region: Region, control: Control) -> None:
        self._region = region
        self._control = control

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_sandbox/faults", self.faults),
            web.post("/_sandbox/faults", self.add_fault),
            web.delete("/_sandbox/faults", self.clear_faults),
            web.get("/_sandbox/maintenance", self.maintenance),
            web.post("/_sandbox/maintenance", self.begin_maintenance),
            web.delete("/_sandbox/maintenance", self.end_maintenance),
            web.get("/_sandbox/state", self.state),
        ]

    async def faults(self, request: web.Request) -> web.Response:
        return web.json_response(self._region.faults.waiting())

    async def add_fault(self, request: web.Request) -> web.Response:
        """Add a fault: `{"operation", "fault", "times", "seconds", "calls", "serving"}`."""
        try:
            self._region.faults.add(**await _members(request))
        except (TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self._region.faults.waiting(), status=201)

    async def clear_faults(self, request: web.Request) -> web.Response:
        """Remove all faults; with `?stuck=<operation>` only release stuck operations of it."""
        if operation := request.query.get("stuck"):
            return web.json_response({"released": self._region.faults.release(operation)})
        self._region.faults.clear()
        return web.json_response([])

    async def maintenance(self, request: web.Request) -> web.Response:
        services = self._region.services.values()
        return web.json_response([s.name for s in services if s.in_maintenance])

    async def begin_maintenance(self, request: web.Request) -> web.Response:
        """Start maintenance: `{"service": name, "seconds": real seconds}`, both optional."""
        try:
            requested = await _members(request)
            seconds = None if requested.get("seconds") is None else float(requested["seconds"])
        except (TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self._region.begin_maintenance(requested.get("service"), seconds))

    async def end_maintenance(self, request: web.Request) -> web.Response:
        self._region.end_maintenance()
        return web.json_response([])

    async def state(self, request: web.Request) -> web.Response:
        """Return every call so far, in order, and every service with its operations and events."""
        return web.json_response(
            {
                "calls": [vars(received) for received in self._control.received],
                "services": [
                    {
                        "name": service.name,
                        "arn": service.arn,
                        "status": service.api_status,
                        "url": service.front.address,
                        "digest": service.deployed.digest if service.deployed else None,
                        "instances": len(service.fleet) if service.fleet else 0,
                        "events": service.events,
                        "operations": [operation.summary() for operation in service.operations],
                    }
                    for service in self._region.services.values()
                ],
            }
        )


async def _members(request: web.Request) -> dict[str, Any]:
    members = json.loads(await request.read() or b"{}")
    if not isinstance(members, dict):
        raise ValueError("a JSON object is expected")
    return members
