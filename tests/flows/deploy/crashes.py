"""Kill runs at any AWS call, in a world that must stay in order.

A run here is a simulated process: the flow's own functions without Prefect's engine, since a
process under SIGKILL gets no help from it. Every AWS request of its clients goes through its
`Process`, which may kill it before or after one. From then on it sends nothing more, so no guard
and no heartbeat can act either. `test_killed.py` kills real processes under Prefect.
"""

import contextvars
import logging
import threading
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from unittest.mock import patch
from uuid import uuid4

from prefect import Task, flow
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from blocks.clients import Clients
from blocks.environment import Environment
from delivery.errors import DeliveryError
from tasks.deploy import conclusion
from tasks.rotation import announcements
from tasks.run import announce

HEARTBEATS = "deploy-lock"  # the name of the thread that renews the lock
HEARTBEAT = "a heartbeat"
_here = contextvars.ContextVar("process", default=None)


class Killed(BaseException):
    """Raised to end a simulated process."""


@dataclass(frozen=True)
class Crash:
    """Death `before` or `after` the call of that number, of one `operation` only if it is set.

    Heartbeats have numbers of their own, as `operation=HEARTBEAT`, since their timing is random.
    """

    number: int
    when: str
    operation: str = ""

    def __str__(self):
        return f"{self.when} {self.operation or 'call'} {self.number}"


@dataclass
class Process:
    """Sends the requests of one run, and dies as planned; `after` gets each finished call.

    `hold` is called before each call, with its number and name, to let a run sleep there or to
    raise a network error. Operations that do not `count` pass as long as it lives.
    """

    crash: Crash | None = None
    after: object = None
    hold: object = None
    counts: object = None
    sent: list[str] = field(default_factory=list)
    request: object = None
    heartbeats: int = 0
    is_dead: bool = False
    is_over: bool = False

    def send(self, operation, request, send):
        if threading.current_thread().name == HEARTBEATS:
            return self._renew(request, send)
        if self.is_dead:
            raise Killed
        if self.counts and not self.counts(operation):
            return send(request)
        self.sent.append(operation)
        self._die("before", operation)
        self.request = request
        try:
            return self.hold(self, operation, lambda: send(request)) if self.hold else send(request)
        finally:
            if self.after:
                self.after(f"call {len(self.sent)}, {operation}")
            self._die("after", operation)

    def _renew(self, request, send):
        self.heartbeats += 1
        crash = self.crash or Crash(0, "")
        is_last = crash.operation == HEARTBEAT and crash.number == self.heartbeats
        self.is_dead = self.is_dead or (is_last and crash.when == "before")
        if self.is_dead:
            raise SystemExit  # it ends a thread without a message
        answer = self.hold(self, HEARTBEAT, lambda: send(request)) if self.hold else send(request)
        if is_last:
            self.is_dead = True
            raise SystemExit
        return answer

    def _die(self, when, operation):
        crash = self.crash
        if crash is None or crash.when != when or crash.operation not in ("", operation):
            return
        number = self.sent.count(operation) if crash.operation else len(self.sent)
        if number == crash.number:
            self.is_dead = True
            raise Killed


@dataclass
class CrashResult:
    """How many schedules were played, in how many of them a run died, and what was broken."""

    schedules: int = 0
    killed: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


class _Wire:
    """The HTTP session of one client; the client of a finished process serves the next one."""

    def __init__(self, client):
        self.client, self.process, self.operation = client, None, ""
        self._session = client._endpoint.http_session
        client._endpoint.http_session = self
        client.meta.events.register("before-send", self._name)

    def send(self, request):
        return self.process.send(self.operation, request, self._session.send)

    def close(self):
        self._session.close()

    def _name(self, event_name, **_):
        self.operation = event_name.rpartition(".")[2]


@contextmanager
def on_the_wire():
    """Make every client that the product creates in a process send through it."""
    make, wires = Clients._client, defaultdict(list)

    def made(self, service, *, once):
        process = _here.get()
        if process is None or (service, once) in self._made:
            return make(self, service, once=once)
        # Creating a client takes longer than everything that a process does with it.
        known = wires[service, once, self._endpoints.get(service)]
        wire = next((w for w in known if w.process.is_over), None)
        if wire is None:
            wire = _Wire(make(self, service, once=once))
            known.append(wire)
        wire.process = process
        self._made[service, once] = wire.client
        return wire.client

    with patch.object(Clients, "_client", made):
        yield


def here():
    """Return this thread's process; None for the test itself."""
    return _here.get()


@contextmanager
def as_process(process):
    """Act as that process in this thread, while the block lasts."""
    token = _here.set(process)
    try:
        yield process
    finally:
        _here.reset(token)


@contextmanager
def without_engine():
    """Turn tasks into plain functions without a server: no messages, and blocks are kept here."""
    unheard, kept = (announce.announce, conclusion.conclude_live), {}
    unheard += (announcements.conclude_rotation,)

    def called(task, *args, **parameters):
        return None if task in unheard else task.fn(*args, **parameters)

    def named(name):
        environment = kept[name].model_copy()
        environment.__dict__.pop("_clients", None)  # a process has clients of its own
        return environment

    def save(environment, name, overwrite=False):
        kept[name] = environment

    log = logging.getLogger("prefect.flow_runs")
    level = log.level
    with ExitStack() as stack:
        stack.enter_context(patch.object(Task, "__call__", called))
        stack.enter_context(patch.object(Task, "submit", called))
        stack.enter_context(patch.object(Environment, "named", named))
        stack.enter_context(patch.object(Environment, "save", save))
        stack.enter_context(
            patch("tasks.deploy.watch.create_progress_artifact", lambda **_: uuid4())
        )
        stack.enter_context(patch("tasks.deploy.watch.update_progress_artifact", lambda **_: None))
        stack.enter_context(patch("tasks.run.progress.get_client"))  # no run to label
        # Prefect still shows a run under SIGKILL as Running, so a whole lease must pass.
        stack.enter_context(patch("tasks.run.lock.is_finished", lambda _: False))
        stack.callback(log.setLevel, level)
        log.setLevel(logging.CRITICAL + 1)
        yield


@flow
def _pretended():
    """Stands for the flow of a run without an engine."""


def live_process(process, run, *args):
    """Run `run` as the process; return its result, or None if it was killed."""
    pretended = FlowRun(id=uuid4(), flow_id=uuid4(), name="pretended", created=datetime.now(UTC))
    context = FlowRunContext.model_construct(
        flow=_pretended, flow_run=pretended, start_time=datetime.now(UTC), parameters={}
    )
    with as_process(process), context:
        try:
            return run(*args)
        except Killed:
            return None
        finally:
            process.is_over = True


def live_until_done(crashes, runs, process_with, failed):
    """Let a process live for each crash and one without, until one is not killed.

    `runs` yields what each of them runs; `process_with` makes one that dies of a crash, and
    `failed` is called with each `DeliveryError`. Return how many died, and the last process.
    """
    for killed, (crash, run) in enumerate(zip([*crashes, None], runs, strict=False)):
        process = process_with(crash)
        try:
            live_process(process, run)
        except DeliveryError as error:
            failed(error)
        if not process.is_dead:
            return killed, process
    raise AssertionError("a process without a crash was killed")
