"""A run that was taken for dead, and is not, changes nothing any more and says so."""

import threading
import time

import pytest

from delivery.errors import Fenced
from tasks.run import ledger
from tests.flows.deploy.crash_world import World
from tests.flows.deploy.crashes import HEARTBEAT, Process, live_process, on_the_wire, without_engine
from tests.flows.deploy.delivering import deliver

PATIENCE_S = 60


@pytest.fixture(scope="module")
def world(stand):
    """An environment in which two versions were live, so that a third one needs every step."""
    with on_the_wire(), without_engine():
        world = World(stand, keep_warm_s=0, lock_lease_s=0.6)
        for _ in range(2):
            live_process(Process(), deliver.fn, world.publish(), world.name)
        yield world
        world.remove()


class Held:
    """A run that sleeps just before one call, and whose heartbeats do not come through
    meanwhile.
    """

    def __init__(self, world, operation, number):
        self._point, self._seen = (operation, number), 0
        self.sleeps, self._goes_on = threading.Event(), threading.Event()
        self.revision, self.ended = world.publish(), None
        self.process = Process(hold=self._hold)
        self._thread = threading.Thread(target=self._run, args=[world.name], daemon=True)
        self._thread.start()

    def _run(self, environment):
        try:
            self.ended = live_process(self.process, deliver.fn, self.revision, environment)
        except Exception as error:
            self.ended = error

    def _hold(self, process, operation, send):
        if operation == HEARTBEAT and self.sleeps.is_set():
            self._goes_on.wait(PATIENCE_S)
        self._seen += operation == self._point[0]
        if operation != HEARTBEAT and (operation, self._seen) == self._point:
            self._seen += 1
            self.sleeps.set()
            self._goes_on.wait(PATIENCE_S)
        return send()

    def go_on(self):
        """Let it go on to its end, and return that."""
        self._goes_on.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        return self.ended


def state(world):
    """What a run can change: the route, both services, the default origin, the ledger."""
    environment = world.environment
    client = environment.retrying("apprunner")
    services = [
        client.describe_service(ServiceArn=each["ServiceArn"])["Service"]
        for each in client.list_services()["ServiceSummaryList"]
        if each["ServiceName"].startswith(environment.service.name)
    ]
    distribution = environment.retrying("cloudfront").get_distribution_config(
        Id=world.stand.distribution.id
    )["DistributionConfig"]
    return {
        "route": world.route(),
        "services": [
            (each["Status"], each["SourceConfiguration"], each["UpdatedAt"]) for each in services
        ],
        "origins": distribution["Origins"],
        "releases": world.releases(),
        "open": ledger.read_intents(environment),
    }


@pytest.mark.parametrize(
    ("operation", "number"),
    [
        ("ListOperations", 1),  # about to resume the idle colour
        pytest.param(
            "GetMetricData", 1, marks=pytest.mark.proof
        ),  # it has all the traffic, and watches
        pytest.param("PutKey", 1, marks=pytest.mark.proof),  # about to shift
        ("PutKey", 2),  # about to promote
        pytest.param(
            "PutItem", 4, marks=pytest.mark.proof
        ),  # promoted, and about to write the release down
        pytest.param(
            "GetDistributionConfig", 1, marks=pytest.mark.proof
        ),  # about to lead the default origin to its colour
        pytest.param(
            "ListServices", 2, marks=pytest.mark.proof
        ),  # about to find out what the idle colour needs
    ],
)
def test_a_run_that_was_wrongly_taken_for_dead_is_fenced_off(world, operation, number):
    world.check("before anything is held")  # what it sees first must not be a shift
    held = Held(world, operation, number)
    assert held.sleeps.wait(PATIENCE_S), (held.process.sent, held.ended)
    world.schedule = f"held before {operation} {number}"
    newer = world.publish()
    time.sleep(0.01)
    assert live_process(Process(after=world.check), deliver.fn, newer, world.name)
    before = state(world)
    assert world.live() == newer

    ended = held.go_on()

    assert isinstance(ended, Fenced), (ended, held.process.sent)
    assert state(world) == before
    assert not world.violations
