"""The data plane: what callers of a service see, above all while it changes."""

import asyncio
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from aiohttp import web

from sandbox.app_runner import AppRunner, Program, Programs, digest_of
from sandbox.parts.ports import listening_socket
from tests.sandbox.app_runner.account import HTTP_CHECK, V1, V2, VISITOR, Account, programs, source
from tests.sandbox.app_runner.load import Load

PIECES = 30


@pytest.fixture
def arn(account):
    return account.create(V1)


@pytest.fixture
def url(account, arn):
    return f"http://{account.service(arn)['ServiceUrl']}"


class LongAnswer:
    """A streamed answer that has begun, and is read to its end by another thread."""

    def __init__(self, url, pause):
        self._address = f"{url}/stream?pieces={PIECES}&pause={pause}"
        self._began = threading.Event()
        self._reader = ThreadPoolExecutor(1)
        self._text = self._reader.submit(self._read)
        assert self._began.wait(5)

    def _read(self):
        text = ""
        with VISITOR.stream("GET", self._address) as answer:
            for piece in answer.iter_text():
                self._began.set()
                text += piece
        return text

    def lines(self):
        self._reader.shutdown()
        return self._text.result().splitlines()


class TestNoFailedRequest:
    def test_updates_good_and_bad_fail_no_request_and_cut_no_long_answer(self, account, arn, url):
        long_answer = LongAnswer(url, pause=0.1)
        with Load(url) as load:
            for image in (V2, digest_of("sick"), V1, digest_of("exits"), V2, V1, V2, V1):
                load.go_on_for(50)
                account.update(arn, image)

        assert long_answer.lines() == [f"v1 {number}" for number in range(PIECES)]
        assert load.failures == []
        assert {status for status, _ in load.answers} == {200}
        assert {revision for _, revision in load.answers} == {"v1", "v2"}
        assert len(load.answers) >= 400
        account.until(lambda: len(account.app_runner.instances.running), lambda n: n == 1)

    def test_after_a_successful_operation_no_answer_is_old(self, account, arn, url):
        for image, revision in ((V2, "v2"), (V1, "v1"), (V2, "v2")):
            account.update(arn, image)
            assert {VISITOR.get(url).json()["revision"] for _ in range(20)} == {revision}

    def test_an_answer_that_outlasts_the_drain_time_is_cut_off(self, emulator):
        account = emulator(drain_at_least=0.2)
        arn = account.create(V1)
        url = f"http://{account.service(arn)['ServiceUrl']}"
        long_answer = LongAnswer(url, pause=0.1)

        account.update(arn, V2)

        with pytest.raises(httpx.RemoteProtocolError):
            long_answer.lines()

    def test_a_pause_lets_running_requests_finish(self, account, arn, url):
        long_answer = LongAnswer(url, pause=0.05)

        operation = account.client.pause_service(ServiceArn=arn)["OperationId"]

        account.until(lambda: status(url), lambda seen: seen == 404)
        assert account.operation(arn, operation)["Status"] == "IN_PROGRESS"
        assert long_answer.lines() == [f"v1 {number}" for number in range(PIECES)]
        assert account.finish(arn, operation) == "SUCCEEDED"


class TestPassingOn:
    def test_method_body_query_and_status_are_passed_on(self, url):
        answer = VISITOR.put(f"{url}/echo", content=b"\x00\xff" * 10)
        assert (answer.content, answer.headers["x-method"]) == (b"\x00\xff" * 10, "PUT")
        assert VISITOR.get(f"{url}/status/404").status_code == 404
        assert VISITOR.get(f"{url}/status/302").status_code == 302
        assert len(VISITOR.get(f"{url}/stream?pieces=3&pause=0").text.splitlines()) == 3

    @pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 3_000_000])
    def test_bodies_of_every_size_come_back_whole(self, url, size):
        body = bytes(range(256)) * (size // 256 + 1)

        assert VISITOR.post(f"{url}/echo", content=body[:size]).content == body[:size]

    def test_bodies_without_a_length_are_streamed(self, url):
        pieces = [b"one ", b"two ", b"three"]

        assert VISITOR.post(f"{url}/echo", content=iter(pieces)).content == b"one two three"

    def test_pieces_arrive_as_they_are_written(self, url):
        began = time.monotonic()
        with VISITOR.stream("GET", f"{url}/stream?pieces=2&pause=10") as answer:
            first = next(answer.iter_raw())
            seen_after = time.monotonic() - began

        assert first == b"v1 0\n"
        assert seen_after < 10

    def test_head_has_no_body_and_expect_continue_is_answered(self, url):
        answer = VISITOR.head(url)
        assert (answer.status_code, answer.content) == (200, b"")
        assert int(answer.headers["content-length"]) > 0
        expecting = VISITOR.post(f"{url}/echo", content=b"x", headers={"Expect": "100-continue"})
        assert expecting.content == b"x"

    def test_headers_are_those_of_a_proxy(self):
        async def shown(request):
            answer = web.json_response(sorted(request.headers.items()))
            answer.headers.add("Set-Cookie", "a=1")
            answer.headers.add("Set-Cookie", "b=2")
            answer.headers["Connection"] = "keep-alive"
            return answer

        with AppRunner(Programs({V1: Program(health=shown)}), time_scale=0) as app_runner:
            account = Account(app_runner)
            arn = account.create(V1)
            answer = account.get(arn, "/api/health")
            seen = {name.lower(): value for name, value in answer.json()}

        assert seen["host"] == answer.request.headers["host"]
        assert seen["x-forwarded-for"] == "127.0.0.1"
        assert seen["x-forwarded-proto"] == "http"
        assert "connection" not in seen
        assert answer.headers["server"] == "envoy"
        assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]


class TestASecondAddress:
    OTHER = "127.0.0.2"

    def test_a_service_listens_there_with_its_port_and_the_control_api_does_not(self, emulator):
        account = emulator(also_on=self.OTHER)
        address = account.service(account.create(V1))["ServiceUrl"]
        port, control = address.split(":")[1], account.app_runner.url.rpartition(":")[2]

        assert address == f"127.0.0.1:{port}"
        for host in ("127.0.0.1", self.OTHER):
            assert VISITOR.get(f"http://{host}:{port}").json()["revision"] == "v1"
        with pytest.raises(httpx.ConnectError):
            VISITOR.get(f"http://{self.OTHER}:{control}")

    def test_a_service_listens_on_the_loopback_only_if_no_other_is_given(self, url):
        with pytest.raises(httpx.ConnectError):
            VISITOR.get(url.replace("127.0.0.1", self.OTHER))

    def test_nothing_listens_on_either_address_when_the_emulator_has_ended(self):
        with AppRunner(programs(), time_scale=0, also_on=self.OTHER) as app_runner:
            account = Account(app_runner)
            port = int(account.service(account.create(V1))["ServiceUrl"].split(":")[1])
        for host in ("127.0.0.1", self.OTHER):
            listening_socket(port, host).close()


class TestInstances:
    def test_a_crashed_instance_is_replaced(self, account, arn, url):
        (first,) = account.app_runner.instances.running
        crash(account)

        account.until(lambda: status(url), lambda seen: seen == 200)

        (second,) = account.app_runner.instances.running
        assert second != first
        assert len(account.operations(arn)) == 1

    def test_while_nobody_can_serve_the_answer_is_503(self, emulator):
        account = emulator(back_off=30)
        arn = account.create(V1)
        instances = account.app_runner.instances
        instances.programs[V1] = Program("v1", health="never")
        crash(account)
        account.until(lambda: len(instances.running), lambda count: count == 0)

        answer = account.get(arn)

        assert (answer.status_code, answer.headers["server"]) == (503, "envoy")
        assert account.service(arn)["Status"] == "RUNNING"

    def test_replacements_are_tried_until_one_is_well(self, account, arn, url):
        instances = account.app_runner.instances
        instances.programs[V1] = Program("v1", health="never")
        crash(account)
        time.sleep(0.5)
        assert status(url) == 503

        instances.programs[V1] = Program("v1")

        account.until(lambda: status(url), lambda seen: seen == 200)

    def test_one_of_two_may_crash_without_a_failed_request(self, account):
        scaling = account.client.create_auto_scaling_configuration(
            AutoScalingConfigurationName="at-least-two", MinSize=2
        )["AutoScalingConfiguration"]["AutoScalingConfigurationArn"]
        arn = account.create(V1, AutoScalingConfigurationArn=scaling)
        url = f"http://{account.service(arn)['ServiceUrl']}"
        assert status(url) == 200

        crash(account)

        assert [status(url) for _ in range(20)] == [200] * 20

    def test_an_instance_that_fails_its_checks_is_replaced(self):
        sick = threading.Event()

        async def health(request):
            return web.Response(status=500 if sick.is_set() else 200)

        check = {"Protocol": "HTTP", "Path": "/api/health", "Interval": 1, "UnhealthyThreshold": 2}
        with AppRunner(Programs({V1: Program(health=health)}), time_scale=0) as app_runner:
            account = Account(app_runner)
            account.create(V1, HealthCheckConfiguration=check)
            (first,) = app_runner.instances.running
            sick.set()
            time.sleep(0.7)
            assert list(app_runner.instances.running) == [first]
            account.until(
                lambda: first in app_runner.instances.running, lambda is_there: not is_there
            )
            sick.clear()
            account.until(lambda: len(app_runner.instances.running), lambda count: count == 1)


class TestHealthChecks:
    def test_the_healthy_threshold_counts_passes_in_a_row(self):
        asked = []

        async def health(request):
            asked.append(request.path)
            # Fails the third time: the count starts again.
            return web.Response(status=503 if len(asked) == 3 else 200)

        check = {"Protocol": "HTTP", "Path": "/api/health/live", "HealthyThreshold": 3}
        with AppRunner(Programs({V1: Program(health=health)}), time_scale=0) as app_runner:
            Account(app_runner).create(V1, HealthCheckConfiguration=check)

            assert asked == ["/api/health/live"] * 6

    def test_a_check_that_hangs_counts_as_failed(self, emulator):
        async def hangs(request):
            await asyncio.Event().wait()

        account = emulator(instances=Programs({V1: Program(health=hangs)}))

        check = {**HTTP_CHECK, "UnhealthyThreshold": 1}
        arn = account.create(V1, HealthCheckConfiguration=check)

        assert account.service(arn)["Status"] == "CREATE_FAILED"

    def test_a_check_that_passes_now_and_then_does_not_go_on_for_ever(self, emulator):
        async def flaps(request):
            asked.append(request.path)
            return web.Response(status=200 if len(asked) % 2 else 503)

        asked = []
        account = emulator(instances=Programs({V1: Program(health=flaps)}))
        check = {**HTTP_CHECK, "HealthyThreshold": 2, "UnhealthyThreshold": 1}

        arn = account.create(V1, HealthCheckConfiguration=check)

        assert account.service(arn)["Status"] == "CREATE_FAILED"

    def test_a_redirect_is_not_healthy(self, emulator):
        async def redirects(request):
            return web.Response(status=302, headers={"Location": "/"})

        account = emulator(instances=Programs({V1: Program(health=redirects)}))

        assert account.service(account.create(V1))["Status"] == "CREATE_FAILED"

    def test_a_slow_start_is_waited_for(self, emulator):
        slow = Program("v1", start_seconds=0.4)
        account = emulator(instances=Programs({V1: slow}), become_healthy_at_least=3.0)

        assert account.revision(account.create(V1)) == "v1"


class TestDurations:
    def test_operations_take_their_scaled_time(self, emulator):
        account = emulator(time_scale=0.002)
        began = time.monotonic()
        arn = account.create(V1)
        created = time.monotonic()
        account.update(arn, V2)
        updated = time.monotonic()

        assert 0.48 <= created - began < 30  # 240 s
        assert 0.36 <= updated - created < 30  # 180 s

    def test_the_old_version_serves_until_the_operation_ends(self, emulator):
        account = emulator(time_scale=0.005)
        arn = account.create(V1)
        account.client.update_service(ServiceArn=arn, SourceConfiguration=source(V2))
        account.until(lambda: len(account.app_runner.instances.running), lambda n: n == 2)

        assert account.revision(arn) == "v1"
        assert account.service(arn)["Status"] == "OPERATION_IN_PROGRESS"


def test_the_front_is_not_the_bottleneck(url):
    address, rates = url.removeprefix("http://"), []
    for _ in range(3):  # neighbours on this machine may take one turn away from us
        answered, seconds = asyncio.run(hammer(address, callers=10, requests=50))
        assert answered == [200] * 500
        rates.append(len(answered) / seconds)

    assert max(rates) >= 500


async def hammer(address, callers, requests):
    """Status codes, and seconds taken. Sockets by hand: a client library would be the brake."""
    host, port = address.split(":")
    answered = []

    async def call():
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in range(requests):
            writer.write(b"GET / HTTP/1.1\r\nHost: kanvaro\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            size = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(size[1]))
            answered.append(int(head.split()[1]))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    return answered, time.perf_counter() - began


def crash(account):
    """Kill one instance, as a fault in the application would."""
    next(iter(account.app_runner.instances.running.values())).crash()


def status(url):
    return VISITOR.get(url).status_code
