"""Service containers: the databases that a check runs against, removed after it.

Each check gets containers of its own, so that two checks at once cannot see each other's rows. The
check and its services share one network stack, the first service's, as the containers of a pod do:
they answer there by their names, which are names of 127.0.0.1, and nowhere else.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from docker import DockerClient
from docker.errors import APIError, ImageNotFound
from docker.models.containers import Container

from blocks.environment import Environment
from blocks.service_image import ServiceImage
from delivery.errors import CheckCancelled, CheckFailed, ConfigurationError, TimedOut
from delivery.patience import Patience, wait_until
from tasks.containers.check_network import check_network
from tasks.containers.run_engine import remove_container

TO_BECOME_HEALTHY = Patience(timeout=120, interval=0.2, longest=1)
ONE_PROBE = Patience(timeout=5, interval=0.03)
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Services:
    """What a check needs to reach its services: the network mode, variables with addresses."""

    network: str
    variables: Mapping[str, str]


@contextmanager
def service_containers(
    client: DockerClient,
    environment: Environment,
    names: Sequence[str],
    labels: Mapping[str, str],
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Services]:
    """Run the named services while the block lasts, and yield how a check reaches them.

    Without services that is the network of all checks. Raises `ConfigurationError` if an image
    cannot be had or two services have one port, `CheckFailed` with the service's last lines if it
    does not become healthy.
    """
    with ExitStack() as cleanup:
        images = {name: _image(environment, name) for name in names}
        _require_different_ports(images)
        network = check_network(client)
        started: list[tuple[ServiceImage, Container]] = []
        for image in images.values():
            container = _container(client, cleanup, environment, image, network, names, labels)
            network = network if started else f"container:{container.id}"
            started.append((image, container))
        for image, container in started:
            _await_health(client, container, image, stop)
        variables = {
            image.variable: image.uri.format(host=name, port=image.port)
            for name, image in images.items()
        }
        yield Services(network, variables)


def _require_different_ports(images: Mapping[str, ServiceImage]) -> None:
    names: dict[int, str] = {}
    for name, image in images.items():
        if other := names.get(image.port):
            raise ConfigurationError(
                f"the services {other} and {name} both listen on port {image.port}, and a check "
                "has one network with its services",
                hint="Let one of them listen on another port, in the environment's "
                "`service_images`, or give the check one of the two.",
            )
        names[image.port] = name


def _image(environment: Environment, name: str) -> ServiceImage:
    try:
        return environment.service_images[name]
    except KeyError:
        known = ", ".join(environment.service_images) or "none"
        raise ConfigurationError(
            f"{environment.name} has no service {name!r}", hint=f"It has: {known}."
        ) from None


def _container(
    client: DockerClient,
    cleanup: ExitStack,
    environment: Environment,
    image: ServiceImage,
    network: str,
    names: Sequence[str],
    labels: Mapping[str, str],
) -> Container:
    """Start a service, which `cleanup` removes, on a network or with another's network stack."""
    api = client.api
    memory = environment.policy.check_memory_mb * MEGABYTE
    # They are of the network stack: who joins it has the names, and may not give others.
    joins = network.startswith("container:")
    hosts = None if joins else dict.fromkeys(names, "127.0.0.1")
    try:
        made = api.create_container(
            image.reference,
            labels=dict(labels),
            host_config=api.create_host_config(
                network_mode=network,
                extra_hosts=hosts,
                security_opt=["no-new-privileges"],
                mem_limit=memory,
                memswap_limit=memory,
                pids_limit=environment.policy.check_processes,
            ),
        )["Id"]
        cleanup.callback(remove_container, client, made)
        api.start(made)
        return client.containers.get(made)
    except (ImageNotFound, APIError) as error:
        raise ConfigurationError(
            f"the service image {image.reference} cannot be started: {error.explanation or error}",
            hint="Let the Docker engine reach the registry, or name another image in "
            "the environment's `service_images`.",
        ) from None


def _await_health(
    client: DockerClient, container: Container, image: ServiceImage, stop: Callable[[], bool]
) -> None:
    """Ask until the service answers, and no longer.

    The engine's own health check would continue while the check runs, and start a shell of the
    database twice a second.
    """

    def health() -> str:
        if stop():
            raise CheckCancelled("stopped while its services were starting")
        container.reload()
        return _probed(client, container, image) if container.status == "running" else "exited"

    try:
        seen = wait_until(
            health, lambda s: s in ("healthy", "exited"), TO_BECOME_HEALTHY, what=image.reference
        )
    except TimedOut as error:
        seen = str(error)
    if seen != "healthy":
        tail = container.logs(tail=15).decode(errors="replace")
        raise CheckFailed(f"the service {image.reference} did not become healthy: {seen}\n{tail}")


def _probed(client: DockerClient, container: Container, image: ServiceImage) -> str:
    api = client.api
    try:
        probe = api.exec_create(container.id, _argv(image.health_command))["Id"]
        api.exec_start(probe, detach=True)
        seen = wait_until(
            lambda: api.exec_inspect(probe), lambda s: not s["Running"], ONE_PROBE, what="a probe"
        )
    except TimedOut:
        return f"its health command did not end within {ONE_PROBE.timeout:g} s"
    except APIError as error:
        # The container may have ended between the two calls; the next look shows it.
        return str(error.explanation or error)
    return "healthy" if seen["ExitCode"] == 0 else f"its health command ended {seen['ExitCode']}"


def _argv(health_command: list[str]) -> list[str]:
    """Return the argument list of a health check in Docker's form: CMD, CMD-SHELL or neither."""
    kind, *rest = health_command
    if kind == "CMD-SHELL":
        return ["/bin/sh", "-c", *rest]
    return rest if kind == "CMD" else health_command
