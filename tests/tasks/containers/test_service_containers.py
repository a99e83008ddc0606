"""Service containers on a real engine, with the images (or stand-ins) of the sandbox."""

import uuid
from contextlib import contextmanager

import pytest

from delivery.errors import CheckFailed, ConfigurationError
from delivery.patience import Patience
from deployments.sandbox_environment import _service_images
from sandbox.host.engine import docker_engine
from tasks.containers import service_containers as services
from tasks.containers.check_network import check_network
from tasks.containers.run_engine import CHECK
from tasks.containers.service_containers import service_containers
from tests.tasks.containers.engines import IMAGE, environment_with

BOTH = ("mongodb", "redis")


@pytest.fixture
def environment(tmp_path):
    made = environment_with(tmp_path)
    made.service_images = _service_images()
    return made


@pytest.fixture
def client():
    made = docker_engine().client()
    yield made
    made.close()


@pytest.fixture
def labels():
    return {CHECK: f"check-{uuid.uuid4().hex[:8]}"}


@pytest.fixture
def containers(client, labels):
    """What is there for the check of this test, running or not."""
    [(name, value)] = labels.items()
    label = {"label": f"{name}={value}"}
    return lambda: client.containers.list(all=True, filters=label)


@pytest.fixture
def serve(client, environment, labels):
    """Run services of a check while the block lasts; yield how it reaches them."""
    return lambda *names: service_containers(client, environment, names, labels)


# Asks some hundred times a second: 0 as soon as it gets a connection, 7 if it never does.
REACH = """
const [host, port, seconds] = process.argv.slice(1);
const until = Date.now() + seconds * 1000;
setInterval(() => {
  if (Date.now() > until) process.exit(7);
  const socket = require('net').connect({ port, host, timeout: 400 });
  const end = () => socket.destroy();
  socket.on('connect', () => process.exit(0)).on('error', end).on('timeout', end);
}, 2);
"""


@contextmanager
def asking(client, connected, host, port, seconds=1):
    """Let a container of this network connect to an address; yield how to know whether it did."""
    argv = ["node", "-e", REACH, host, str(port), str(seconds)]
    made = client.containers.create(IMAGE, entrypoint=argv, network_mode=connected)
    try:
        made.start()
        yield lambda: made.wait(timeout=60)["StatusCode"] == 0
    finally:
        made.remove(force=True)


def reaches(client, connected, host, port):
    with asking(client, connected, host, port) as connects:
        return connects()


def address_of(container):
    container.reload()
    [network] = container.attrs["NetworkSettings"]["Networks"].values()
    return network["IPAddress"]


def test_a_check_finds_its_databases_by_name_and_nothing_of_them_stays(client, serve, containers):
    with serve(*BOTH) as services:
        assert reaches(client, services.network, "mongodb", 27017)
        assert reaches(client, services.network, "redis", 6379)
        assert len(containers()) == 2

    assert services.variables["MONGODB_URI"].startswith("mongodb://mongodb:27017")
    assert services.variables["REDIS_URL"].startswith("redis://redis:6379")
    assert containers() == []


def test_a_check_without_services_is_on_the_network_of_all_checks(client, serve, containers):
    with serve() as services:
        assert services.network == check_network(client)
        assert containers() == []


def test_two_services_of_one_port_are_refused_before_any_is_started(environment, serve, containers):
    environment.service_images["cache"] = environment.service_images["redis"].model_copy()

    with (
        pytest.raises(ConfigurationError, match="redis and cache both listen on port 6379"),
        serve("redis", "cache"),
    ):
        pytest.fail("the check was started")

    assert containers() == []


def test_another_check_does_not_reach_them_nor_does_the_host_publish_them(
    client, serve, containers
):
    """Not even while Docker makes networks: it then takes its rule between them away for a moment.

    A check on a network of its own got through so, beside other runs.
    """
    with serve("redis") as services:
        [redis] = containers()
        ip = address_of(redis)
        assert not any(redis.attrs["NetworkSettings"]["Ports"].values())
        with (
            asking(client, check_network(client), ip, 6379, seconds=6) as by_address,
            asking(client, check_network(client), "redis", 6379, seconds=2) as by_name,
        ):
            for number in range(12):
                name = f"kanvaro-another-{labels_of(redis)[CHECK]}-{number}"
                client.networks.create(name).remove()
            assert not by_name()
            assert not by_address()
        assert reaches(client, services.network, "redis", 6379)


def labels_of(container):
    return container.attrs["Config"]["Labels"]


def test_no_health_command_goes_on_beside_the_check(serve, containers):
    """The engine's own health check would start a process twice a second for as long as it runs."""
    with serve(*BOTH):
        assert [each.attrs["State"].get("Health") for each in containers()] == [None, None]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["CMD-SHELL", "exit 3"], "ended 3"),
        (["CMD", "redis-cli", "-e", "no-such-command"], "ended 1"),
        (["CMD", "sleep", "60"], "did not end within"),
        (["CMD", "no-such-program"], "no-such-program|ended 12[67]"),
    ],
    ids=["fails", "refused", "hangs", "absent"],
)
def test_a_service_that_never_becomes_healthy_fails_the_check_with_its_last_words(
    environment, serve, containers, monkeypatch, command, why
):
    monkeypatch.setattr(services, "TO_BECOME_HEALTHY", Patience(timeout=1, interval=0.1))
    monkeypatch.setattr(services, "ONE_PROBE", Patience(timeout=0.5, interval=0.05))
    environment.service_images["redis"].health_command = command

    with (
        pytest.raises(CheckFailed, match=f"(?s)({why}).*Ready to accept connections"),
        serve("redis"),
    ):
        pytest.fail("the check was started")

    assert containers() == []


def test_an_image_that_is_not_there_is_a_matter_of_configuration(environment, serve):
    environment.service_images["redis"].reference = "kanvaro-sandbox/no-such-image:1"

    with (
        pytest.raises(ConfigurationError, match="no-such-image"),
        serve("redis"),
    ):
        pytest.fail("the check was started")
