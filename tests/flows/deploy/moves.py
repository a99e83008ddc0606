"""Move traffic in an environment of its own on the stand, also in a thread beside the test."""

import json
import threading
from contextlib import suppress
from contextvars import copy_context
from http.client import HTTPConnection
from urllib.parse import urlsplit

from prefect import get_client
from prefect.client.schemas import SetStateStatus

from delivery.patience import Patience, wait_until
from delivery.platform.images import Image
from delivery.platform.route import Colour, first_route, swapped
from delivery.run.ledger import Proven, Release
from flows.blue_green import blue_green
from flows.rollback import rollback
from sandbox.app_runner.instances.programs import Program
from tasks.platform.app_runner.service import await_deployment, change_service
from tasks.platform.routing import router_of, write_route
from tasks.run import ledger
from tasks.run.lock_row import LOCK, read_lock
from tests.flows.stand import remove_services

# A busy machine is slow, which is no failure.
PATIENCE = {
    "lock_lease_s": 3,
    "lock_timeout_s": 120,
    "operation_timeout_s": 60,
    "health_timeout_s": 30,
    "switch_timeout_s": 30,
}


def until(is_so, what, timeout=60):
    """Wait until a condition holds; return the value."""
    return wait_until(is_so, bool, Patience(timeout, 0.05), what=what)


class Beside:
    """A run in a thread of its own; `state` once it has ended."""

    def __init__(self, flow, parameters):
        self._state, self._error = None, None
        context = copy_context()  # including Prefect's settings
        self._thread = threading.Thread(
            target=context.run, args=(self._run, flow, parameters), daemon=True
        )
        self._thread.start()

    def _run(self, flow, parameters):
        try:
            self._state = flow(**parameters, return_state=True)
        except BaseException as error:
            self._error = error

    def state(self, timeout=120):
        self._thread.join(timeout)
        assert not self._thread.is_alive(), f"the run did not end in {timeout} s"
        if self._error:
            raise self._error
        return self._state

    def error(self):
        return self.state().result(raise_on_failure=False)


class Moves:
    """One environment, the versions of one application, and their state as a test sees it."""

    def __init__(self, stand, app, workshop, **policy):
        self.stand, self.app = stand, app
        self.environment = stand.environment({"workshop": workshop}, **{**PATIENCE, **policy})
        self.digests = {}
        self.id = None

    @property
    def name(self):
        return self.environment.name

    def change(self, policy=None, **settings):
        """Change settings of the environment, as an operator would."""
        for name, value in settings.items():
            setattr(self.environment, name, value)
        for name, value in (policy or {}).items():
            setattr(self.environment.policy, name, value)
        self.environment.save(self.name, overwrite=True)

    def publish(
        self, health="ok", *, proven=True, migration="none", tag=None, serves=None, **scripts
    ):
        """Commit a version, push it and record its proof; `health`, `serves`: of its `Program`."""
        revision = self.app.commit(**scripts)
        digest = self.stand.push(revision)
        if tag:
            self._tag(revision, tag)
        self.digests[revision] = digest
        self.stand.programs.programs[digest] = Program(
            revision=revision, health=health, serves=serves
        )
        if proven:
            entry = Proven(
                revision,
                digest,
                self.app.address,
                "refs/heads/main",
                "test",
                ledger.now(),
                migration,
            )
            ledger.record_proven(self.environment, entry)
        return revision

    def serve(self, *revisions):
        """Set the state that deploying these versions, one after the other, would leave."""
        for number, revision in enumerate(revisions, start=self._locks_so_far() + 1):
            colour = Colour.GREEN if self._live_colour() is Colour.BLUE else Colour.BLUE
            image = Image(self.stand.repository, self.digests[revision], revision)
            service = await_deployment.fn(
                self.environment.on(colour), change_service(self.environment.on(colour), image)
            )
            seen = router_of(self.environment).read()
            wanted = (
                swapped(seen.route, service.address, number)
                if seen.route
                else first_route(colour, service.address, number)
            )
            write_route(self.environment, seen, wanted)
            router_of(self.environment).set_default_origin(service.address, lambda: None)
            ledger.record_release(self.environment, self._release(number, revision, colour, wanted))
            self.environment.retrying("dynamodb").update_item(
                TableName=self.environment.ledger_table,
                Key=ledger.key(self.environment, LOCK),
                UpdateExpression="SET #token = :token",
                ExpressionAttributeNames={"#token": "token"},
                ExpressionAttributeValues={":token": {"N": str(number)}},
            )
        until(lambda: self.live() == revisions[-1], "the edge follows")

    def _release(self, number, revision, colour, route):
        proof = ledger.read_proven(self.environment, revision)[0]
        return Release(
            number=number,
            revision=revision,
            digest=self.digests[revision],
            colour=colour,
            since=ledger.now(),
            run="none",
            actor="ada",
            reason="as it was",
            migration=proof.migration,
            route_version=route.version,
        )

    def _locks_so_far(self):
        return read_lock(self.environment).token

    def _live_colour(self):
        route = router_of(self.environment).read().route
        return route.live if route else None

    def _tag(self, revision, tag):
        client = self.stand.aws.client("ecr")
        name = self.environment.ecr_repository
        [image] = client.batch_get_image(repositoryName=name, imageIds=[{"imageTag": revision}])[
            "images"
        ]
        client.put_image(repositoryName=name, imageManifest=image["imageManifest"], imageTag=tag)

    def deploy(self, version, reason="because it is better", **parameters):
        state = blue_green(
            version=version,
            reason=reason,
            environment=self.name,
            return_state=True,
            **parameters,
        )
        self.id = state.state_details.flow_run_id
        return state

    def ok(self, version, **parameters):
        return self.deploy(version, **parameters).result()

    def fail(self, kind, version, **parameters):
        error = self.deploy(version, **parameters).result(raise_on_failure=False)
        assert isinstance(error, kind), error
        return error

    def go_back(self, target="previous", reason="it is bad", **parameters):
        state = rollback(
            target_version=target,
            reason=reason,
            environment=self.name,
            return_state=True,
            **parameters,
        )
        self.id = state.state_details.flow_run_id
        return state

    def refuse_to_go_back(self, kind, target="previous", **parameters):
        error = self.go_back(target, **parameters).result(raise_on_failure=False)
        assert isinstance(error, kind), error
        return error

    def begin(self, version, reason="because it is better"):
        """Deploy in a thread beside the test."""
        parameters = {"version": version, "reason": reason, "environment": self.name}
        return Beside(blue_green, parameters)

    def begin_to_go_back(self, target="previous", reason="it is bad"):
        parameters = {"target_version": target, "reason": reason, "environment": self.name}
        return Beside(rollback, parameters)

    def live(self):
        """Return the revision that the public name answers with; None if the edge has no origin."""
        with suppress(ValueError):
            return json.loads(self.get("/api/health")[1])["revision"]
        return None

    def route(self):
        return self.stand.route()

    def all_on(self):
        """Return the colour that has all the traffic."""
        route = self.route()
        assert not route.is_shifting, route
        return route.live

    def releases(self):
        return list(ledger.read_releases(self.environment))

    def intents(self):
        return ledger.read_intents(self.environment)

    def changes(self):
        """Return the calls that changed this environment's services, in order."""
        return self.stand.changes(self.environment)

    def services(self):
        """Return the status of each service of this environment, by the last word of its name."""
        found = self.environment.retrying("apprunner").list_services()["ServiceSummaryList"]
        prefix = f"{self.environment.service.name}-"
        return {
            each["ServiceName"].removeprefix(prefix): each["Status"]
            for each in found
            if each["ServiceName"].startswith(prefix)
        }

    def remove(self):
        remove_services(self.environment)

    def services_in_place(self):
        """Return the only service of an environment without colours, as App Runner describes it."""
        client = self.environment.retrying("apprunner")
        return [
            client.describe_service(ServiceArn=each["ServiceArn"])["Service"]
            for each in client.list_services()["ServiceSummaryList"]
            if each["ServiceName"] == self.environment.service.name
        ]

    def holder(self):
        return read_lock(self.environment).holder

    def said(self, run_id=None):
        """Return the Slack thread of a run as one text; empty before it began."""
        try:
            return str([message.blocks for message in self.stand.said(run_id or self.id)])
        except IndexError:
            return ""

    def get(self, path="/", **headers):
        """Return status and text of an answer by the public name, on a new connection.

        Not httpx: each of its clients loads all certificates, which is slow to repeat.
        """
        connection = HTTPConnection(urlsplit(self.stand.edge.url).netloc, timeout=5)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def row(self):
        return ledger.row(self.environment, LOCK)


def state_of(run_id):
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run_id).state


def answer(run_id, **form):
    """Answer the question of a paused run, as the form of Prefect's UI does."""
    with get_client(sync_client=True) as client:
        until(lambda: client.read_flow_run(run_id).state.is_paused(), "the run asks")
        # Prefect refuses an answer before it has saved the form, a moment after the pause.
        until(
            lambda: client.resume_flow_run(run_id, run_input=form).status is SetStateStatus.ACCEPT,
            "the answer is taken",
        )
