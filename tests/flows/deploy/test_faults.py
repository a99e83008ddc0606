"""Each AWS call of a delivery on a bad day: what is lost happens once, what is denied stops."""

import io
import json
import os
import random

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError

from delivery.errors import AccessDenied, DeliveryError, OutcomeUnknown
from tests.flows.deploy.crash_world import World
from tests.flows.deploy.crashes import HEARTBEAT, Process, live_process, on_the_wire, without_engine
from tests.flows.deploy.delivering import deliver

SAMPLE = 8
# Every operation that a delivery sends to a colour that was paused.
OPERATIONS = (
    *("Query", "GetItem", "PutItem", "UpdateItem", "TransactWriteItems"),
    *("DescribeImages", "DescribeRepositories", "DescribeKeyValueStore", "GetKey", "PutKey"),
    *("ListServices", "DescribeService", "ListOperations", "ResumeService", "UpdateService"),
    *("PauseService", "GetMetricData", "GetDistributionConfig", "UpdateDistribution"),
)
FAULTS = ("throttled", "5xx", "lost", "denied")
BUSY = {
    "UpdateService": "InvalidStateException",
    "ResumeService": "InvalidStateException",
    "PutKey": "ConflictException",
}
# What App Runner says may be older than what it has done. The ledger is read consistently; of the
# KeyValueStore AWS says nothing, and a write by an old ETag is refused.
STALE = ("ListServices", "DescribeService", "ListOperations")
CASES = [(o, f) for o in OPERATIONS for f in FAULTS]
CASES += [(o, "busy") for o in BUSY] + [(o, "stale") for o in STALE]
# Denied, these are no reason to stop: the users are served by what was proven.
NO_REASON = {"PauseService", "GetDistributionConfig", "UpdateDistribution", "TransactWriteItems"}
# App Runner knows no token: what it may have accepted is not sent again by the same run.
UNSETTLED = {("ResumeService", "5xx"), ("UpdateService", "5xx")}
SEED = int(os.environ["KANVARO_TEST_SEED"])


class _Body(io.BytesIO):
    def stream(self, **_):
        yield self.read()


def refusal(operation, status, code):
    """An error answer, in the words of the protocol of that operation."""
    if "Distribution" in operation:
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>so"
            "</Message></Error><RequestId>1</RequestId></ErrorResponse>"
        )
    else:
        text = json.dumps({"__type": code, "message": "so", "Message": "so"})
    headers = {"x-amzn-errortype": code, "content-type": "application/json"}
    return AWSResponse("http://faults", status, headers, _Body(text.encode()))


class Fault:
    """What the calls of one operation meet: the first of them, or every one if it is denied."""

    def __init__(self, operation, kind):
        self.operation, self.kind, self.met, self._answers = operation, kind, 0, {}

    def __call__(self, process, operation, send):
        if operation == HEARTBEAT or operation != self.operation:
            return send()
        if self.kind == "stale":
            return self._answer_of_before(process.request, send())
        self.met += 1
        if self.kind == "denied":
            return refusal(operation, 403, "AccessDeniedException")
        if self.met > 1:
            return send()
        match self.kind:
            case "throttled":
                return refusal(operation, 400, "ThrottlingException")
            case "5xx":
                return refusal(operation, 503, "ServiceUnavailable")
            case "busy":
                return refusal(operation, 409, BUSY[operation])
        send()
        raise ConnectionClosedError(endpoint_url="http://faults")

    def _answer_of_before(self, request, answer):
        """What was answered to the same request before, once each time that it has changed."""
        asked = (request.url, request.body)
        now, before = answer.content, self._answers.get(asked)
        self._answers[asked] = now
        is_stale = before not in (None, now)
        self.met += is_stale
        told = before if is_stale else now
        return AWSResponse(answer.url, answer.status_code, answer.headers, _Body(told))


@pytest.fixture(scope="module", autouse=True)
def pretended():
    with on_the_wire(), without_engine():
        yield


class Served:
    """A world in which two versions were live; a new one after whatever was broken."""

    def __init__(self, stand):
        self._stand, self._world = stand, None

    def world(self):
        if self._world is None:
            self._world = World(self._stand, keep_warm_s=0)
            for _ in range(3):
                live_process(Process(), deliver.fn, self._world.publish(), self._world.name)
        return self._world

    def forget(self):
        if self._world:
            self._world.remove()
        self._world = None


@pytest.fixture(scope="module")
def served(stand):
    made = Served(stand)
    yield made
    made.forget()


def error_of(world, version, fault):
    try:
        live_process(Process(after=world.check, hold=fault), deliver.fn, version, world.name)
    except DeliveryError as error:
        return error
    return None


def meet(served, operation, kind):
    """Deliver a version while one operation is in trouble, and judge what became of it."""
    world = served.world()
    world.violations.clear()
    world.schedule = f"{operation} {kind}"
    old, new, known = world.live(), world.publish(), len(world.releases())
    sent_before = len(world.stand.changes(world.environment))
    fault = Fault(operation, kind)
    error = error_of(world, new, fault)
    if (operation, kind) in UNSETTLED:
        assert isinstance(error, OutcomeUnknown), error
        error = error_of(world, new, fault)  # which has had its one bad answer
    assert fault.met, f"a delivery does not call {operation}"
    changes = world.stand.changes(world.environment)[sent_before:]
    if kind == "denied":
        assert (error is None) == (operation in NO_REASON), error
        if error:
            assert isinstance(error, AccessDenied), error
            assert world.live() == old
            assert not world.route().is_shifting
            assert "AccessDenied" in str(error)
    else:
        assert error is None, error
        assert world.live() == new
        # Each once at most. What a case before could not pause need not be resumed.
        order = ("ResumeService", "UpdateService", "PauseService")
        assert changes == [each for each in order if each in changes], changes
        assert "UpdateService" in changes
        assert [each.revision for each in world.releases()[known:]] == [new]
        world.check_end({new}, known)
    if error:
        served.forget()
    assert not world.violations, world.violations


@pytest.mark.parametrize(
    ("operation", "kind"),
    random.Random(SEED).sample(CASES, SAMPLE),  # noqa: S311
)
def test_a_bad_day_of_one_operation_in_a_sample(served, operation, kind):
    print(f"seed {SEED}")

    meet(served, operation, kind)


@pytest.mark.proof
@pytest.mark.parametrize(("operation", "kind"), CASES)
def test_a_bad_day_of_any_operation(served, operation, kind):
    meet(served, operation, kind)
