"""Check the invariants of one environment after every single call."""

import http.client
import json
import time
from urllib.parse import urlsplit

from aiohttp import web

from delivery.platform.route import read_route
from tasks.run import ledger
from tasks.run.lock_row import read_lock
from tests.flows.stand import remove_services

# A change of the route takes up to PROPAGATION_S to reach an edge location, each with its own
# delay; the edge polls for it every EVERY_S.
PROPAGATION_S, EVERY_S = 0.12, 0.1
KNOWN_AFTER_S = PROPAGATION_S + EVERY_S
LOOKS = 3  # through the public name: as many as there are edge locations


class Witness:
    """A version's health endpoint; it counts how often the product checked it before users came."""

    def __init__(self):
        self.revision, self.looks = "", 0

    async def __call__(self, request):
        if request.headers.get("Cache-Control") == "no-store":
            self.looks += 1
        return web.json_response({"status": "ok", "revision": self.revision})


class World:
    """The invariants of an environment, and the list of their violations."""

    def __init__(self, stand, **policy):
        self.stand = stand
        quick = {"lock_lease_s": 0.25, "bake_s": 0.05, "step_s": 0.05}
        policy = {**quick, "drain_s": 1.4 * KNOWN_AFTER_S, **policy}
        self.environment = stand.environment(**policy)
        self.violations = []
        self.proven, self.was_live, self.witnesses = set(), set(), {}
        self.schedule = self._very_first = ""
        self._route, self._first = None, 0.0
        self._kvs = stand.aws.client("cloudfront-keyvaluestore")
        self._app_runner = self.environment.retrying("apprunner")
        stand.edge.set_propagation(PROPAGATION_S)

    @property
    def name(self):
        return self.environment.name

    def remove(self):
        """Remove everything from the stand, for others."""
        remove_services(self.environment)
        self.stand.edge.set_propagation(0)

    def publish(self, program=None):
        """Publish a version, healthy unless `program` says otherwise."""
        witness = Witness()
        revision = self.stand.publish(self.environment, program or witness)
        witness.revision = revision
        self.witnesses[revision] = witness
        return revision

    def route(self):
        try:
            found = self._kvs.get_key(KvsARN=self.stand.distribution.store_arn, Key="route")
        except self._kvs.exceptions.ResourceNotFoundException:
            return None
        return read_route(found["Value"])

    def live(self):
        """Return the revision on the colour that the route calls live."""
        route = self.route()
        return _ask(route.hosts[route.live])[1] if route else None

    def releases(self):
        return list(ledger.read_releases(self.environment))

    def broken(self, what):
        self.violations.append(f"{self.schedule}: {what}")

    def check(self, when):
        """Check everything that users and operators could see at this moment."""
        route = self.route()
        self._check_route(when, route)
        if route is None:
            return
        with_traffic = {c: route.share_of(c) for c in route.hosts if route.share_of(c)}
        for colour in with_traffic:
            met = self._check_answer(f"{when}: {colour} of “{route}”", route.hosts[colour])
            if not route.is_shifting:
                self.was_live.add(met)
        # Before the first version no edge location can answer.
        is_known = time.monotonic() - self._first > 1.5 * KNOWN_AFTER_S
        for _ in range(LOOKS if is_known else 0):
            self._check_answer(f"{when}: the public name", self.stand.edge.url)
        busy = self._busy()
        if len(busy) > 1:
            self.broken(f"{when}: several operations at a time: {busy}")
        if busy & {str(colour) for colour in with_traffic}:
            self.broken(f"{when}: an operation on {busy} while users are there: {route}")

    def _check_answer(self, where, address):
        status, revision = _ask(address)
        if status != 200:
            self.broken(f"{where} answers {status}")
        elif revision not in self.proven:
            witness = self.witnesses.get(revision)
            looks, enough = witness.looks if witness else 0, self.environment.policy.healthy_answers
            if looks < enough:
                self.broken(f"{where} answers {revision}, which was looked at {looks} times")
            self._very_first = self._very_first or revision
            self.proven.add(revision)
        return revision

    def _check_route(self, when, route):
        before, self._route = self._route, route
        if route == before:
            return
        if route is None:
            self.broken(f"{when}: the route is gone; it said {before}")
        elif before is None:
            self._first = time.monotonic()
            if route.is_shifting:
                self.broken(f"{when}: the first route shifts: {route}")
        else:
            if route.version <= before.version or route.token < before.token:
                self.broken(f"{when}: the route went back from {before!r} to {route!r}")
            if route.is_shifting and route.share not in self.environment.policy.shift_steps:
                self.broken(f"{when}: no such step: {route}")
            if route.live is not before.live and route.is_shifting:
                self.broken(f"{when}: live changed within a shift: {before} → {route}")

    def _busy(self):
        listed = self._app_runner.list_services()["ServiceSummaryList"]
        mine = f"{self.environment.service.name}-"
        return {
            each["ServiceName"].removeprefix(mine)
            for each in listed
            if each["ServiceName"].startswith(mine) and each["Status"] == "OPERATION_IN_PROGRESS"
        }

    def check_end(self, intended, known):
        """Check the end: `intended` revisions may be live, and `known` releases existed before."""
        time.sleep(1.2 * KNOWN_AFTER_S)
        self.check("at the end")
        route, live = self.route(), self.live()
        released = [each.revision for each in self.releases()]
        if live not in intended:
            self.broken(f"{live} is live, and not one of {intended}")
        if route and route.is_shifting:
            self.broken(f"a shift is left: {route}")
        if left := ledger.read_intents(self.environment):
            self.broken(f"intents are left open: {[str(each) for each in left]}")
        if holder := read_lock(self.environment).holder:
            self.broken(f"the deploy lock is not free: {holder}")
        if len(fresh := released[known:]) > len(set(fresh)):
            self.broken(f"a release was recorded twice: {fresh}")
        # The very first version gets all the traffic at once, and is promoted after its watch.
        if missing := self.was_live - set(released) - {self._very_first}:
            self.broken(f"these were live without a release: {missing}")
        if released and released[-1] != live:
            self.broken(f"the ledger ends with {released[-1]}, live is {live}")


def _ask(address):
    """Return status and revision, on a new connection; httpx would load certificates first."""
    host = urlsplit(address).netloc if "//" in address else address
    connection = http.client.HTTPConnection(host, timeout=5)
    try:
        connection.request("GET", "/api/health")
        answer = connection.getresponse()
        said = answer.read()
        return answer.status, json.loads(said).get("revision") if answer.status == 200 else None
    except OSError as error:
        return type(error).__name__, None
    finally:
        connection.close()
