"""Serve the fake Slack, GitHub and Codecov on one loopback port."""

from contextlib import ExitStack

from aiohttp import web

from sandbox.fakes import slack_web
from sandbox.fakes.codecov import Codecov
from sandbox.fakes.codecov_web import CodecovWeb
from sandbox.fakes.slack import Slack
from sandbox.github import GitHub
from sandbox.github import web as github_web
from sandbox.parts import faults
from sandbox.parts.faults import HttpFaults
from sandbox.parts.part import Part
from sandbox.parts.web import LARGEST_BODY, WebServer

_ADDRESSES = {
    "/api/": "slack",
    "/services/": "slack",
    "/github/": "github",
    "/codecov/": "codecov",
}


class FakeServices(Part):
    """Serves the three fakes while it is entered; what they received stays readable afterwards.

    Add faults in Python (`fakes.slack.faults.add("down", times=2)`) or over HTTP (`POST
    /_sandbox/slack/faults {"kind": "down", "times": 2}`; also GET and DELETE).
    """

    def __init__(self, *, channels: tuple[str, ...] = ("deployments",), port: int = 0) -> None:
        self.slack = Slack(channels)
        self.github = GitHub()
        self.codecov = Codecov()
        self._server = WebServer(self._application, port=port)

    def _start(self, stack: ExitStack) -> None:
        stack.enter_context(self._server)
        self.github.address = self.github_url

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def slack_url(self) -> str:
        """Return the address for `slack_sdk.WebClient(base_url=…)`."""
        return f"{self.url}/api/"

    @property
    def slack_webhook_url(self) -> str:
        """Return the address of an incoming webhook; anybody who has it may post."""
        return self.url + self.slack.webhook_path

    @property
    def slack_page(self) -> str:
        return f"{self.url}/slack"

    @property
    def github_url(self) -> str:
        """Return the address that stands for https://api.github.com."""
        return f"{self.url}/github"

    @property
    def codecov_url(self) -> str:
        """Return the address for `codecovcli --url`."""
        return f"{self.url}/codecov"

    def _application(self) -> web.Application:
        application = web.Application(
            client_max_size=LARGEST_BODY,
            middlewares=[
                github_web.remembering(self.github),
                faults.middleware(self._faults_of),
            ],
        )
        application.add_routes(
            [
                web.route("*", "/_sandbox/{service}/faults", self._control_faults),
                *slack_web.routes(self.slack),
                *github_web.routes(self.github),
                *CodecovWeb(self.codecov).routes(),
            ]
        )
        return application

    def _faults_of(self, request: web.Request) -> HttpFaults | None:
        for start, service in _ADDRESSES.items():
            if request.path.startswith(start):
                return self._faults(service)
        return None

    def _faults(self, service: str) -> HttpFaults:
        return {
            "slack": self.slack.faults,
            "github": self.github.faults,
            "codecov": self.codecov.faults,
        }[service]

    async def _control_faults(self, request: web.Request) -> web.Response:
        try:
            found = self._faults(request.match_info["service"])
        except KeyError:
            return web.json_response({"error": "one of slack, github, codecov"}, status=404)
        return await faults.control_faults(request, found)
