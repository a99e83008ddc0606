"""Service containers on a real engine, with the images (or stand-ins) of the sandbox."""

import uuid
from contextlib import contextmanager

import pytest

from delivery.errors import CheckFailed, ConfigurationError
from delivery.patience import Patience
from deployments.sandbox_environment import _service_images
from sandbox.host.engine import docker_engine
from tasks.containers import service_containers as services
from tasks.containers.run_engine import CHECK, network
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
    """Run services on a network of their own; yield the variables, and the network."""

    @contextmanager
    def run(*names):
        with (
            network(client, f"kanvaro-{labels[CHECK]}", labels) as connected,
            service_containers(client, environment, names, connected, labels) as addresses,
        ):
            yield addresses, connected

    return run


REACH = "const [host, port] = process.argv.slice(1); require('net').connect(port, host)" + (
    ".on('connect', () => process.exit(0)).on('error', () => process.exit(7));"
    "setTimeout(() => process.exit(8), 3000)"
)


def reaches(client, connected, host, port):
    """Whether a container of this network can connect to an address."""
    argv = ["node", "-e", REACH, host, str(port)]
    made = client.containers.create(IMAGE, entrypoint=argv, network=connected)
    try:
        made.start()
        return made.wait(timeout=60)["StatusCode"] == 0
    finally:
        made.remove(force=True)


def test_a_check_finds_its_databases_by_name_and_nothing_of_them_stays(client, serve, containers):
    with serve(*BOTH) as (addresses, connected):
        assert reaches(client, connected, "mongodb", 27017)
        assert reaches(client, connected, "redis", 6379)
        assert len(containers()) == 2

    assert addresses["MONGODB_URI"].startswith("mongodb://mongodb:27017")
    assert addresses["REDIS_URL"].startswith("redis://redis:6379")
    assert containers() == []


def test_another_check_does_not_reach_them_nor_does_the_host_publish_them(
    client, serve, containers
):
    with serve("redis") as (_, connected):
        [redis] = containers()
        redis.reload()
        address = redis.attrs["NetworkSettings"]["Networks"]
        [ip] = [each["IPAddress"] for each in address.values()]
        assert not any(redis.attrs["NetworkSettings"]["Ports"].values())
        other = {CHECK: f"other-{uuid.uuid4().hex[:8]}"}
        with network(client, f"kanvaro-{other[CHECK]}", other) as elsewhere:
            assert not reaches(client, elsewhere, "redis", 6379)
            assert not reaches(client, elsewhere, ip, 6379)
        assert reaches(client, connected, ip, 6379)


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
