"""Service containers on a real engine, with the images (or stand-ins) of the sandbox."""

import socket
from urllib.parse import urlsplit

import pytest
from prefect_docker import DockerHost

from blocks.environment import Environment
from blocks.serving import AppRunnerService
from delivery.errors import CheckFailed, ConfigurationError
from delivery.patience import Patience
from deployments.sandbox_environment import _service_images
from sandbox.host.engine import docker_engine
from tasks.workspace import service_containers as services
from tasks.workspace.service_containers import CHECK, service_containers

BOTH = ("mongodb", "redis")


@pytest.fixture
def environment():
    return Environment(
        strategy="in-place",
        repository="none",
        service=AppRunnerService(access_role_arn="none"),
        docker=DockerHost(base_url=docker_engine().base_url),
        service_images=_service_images(),
    )


@pytest.fixture
def containers(request):
    """What is there for the check of this test, running or not."""
    client = docker_engine().client()
    label = {"label": f"{CHECK}={request.node.name}"}
    yield lambda: client.containers.list(all=True, filters=label)
    client.close()


def test_a_check_finds_its_databases_listening_and_nothing_of_them_stays(
    environment, containers, request
):
    with service_containers(environment, BOTH, request.node.name) as addresses:
        for uri in addresses.values():
            asked = urlsplit(uri)
            socket.create_connection((asked.hostname, asked.port), timeout=5).close()
        assert len(containers()) == 2

    assert addresses.keys() == {"MONGODB_URI", "REDIS_URL"}
    assert containers() == []


def test_no_health_command_goes_on_beside_the_check(environment, containers, request):
    """The engine's own health check would start a process twice a second for as long as it runs."""
    with service_containers(environment, BOTH, request.node.name):
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
    environment, containers, request, monkeypatch, command, why
):
    monkeypatch.setattr(services, "TO_BECOME_HEALTHY", Patience(timeout=1, interval=0.1))
    monkeypatch.setattr(services, "ONE_PROBE", Patience(timeout=0.5, interval=0.05))
    environment.service_images["redis"].health_command = command

    with (
        pytest.raises(CheckFailed, match=f"(?s)({why}).*Ready to accept connections"),
        service_containers(environment, ("redis",), request.node.name),
    ):
        pytest.fail("the check was started")

    assert containers() == []


def test_an_image_that_is_not_there_is_a_matter_of_configuration(environment, request):
    environment.service_images["redis"].reference = "kanvaro-sandbox/no-such-image:1"

    with (
        pytest.raises(ConfigurationError, match="no-such-image"),
        service_containers(environment, ("redis",), request.node.name),
    ):
        pytest.fail("the check was started")
