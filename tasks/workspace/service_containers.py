"""Service containers: the databases that a check runs against, removed after it.

Each check gets containers of its own, so that two checks at once cannot see each other's rows. They
listen on random ports of the loopback interface.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from docker import DockerClient
from docker.errors import APIError, ImageNotFound
from docker.models.containers import Container

from blocks.environment import Environment
from blocks.service_image import ServiceImage
from delivery.errors import CheckCancelled, CheckFailed, ConfigurationError, TimedOut
from delivery.patience import Patience, wait_until
from tasks.workspace.docker_engine import engine
from tasks.workspace.orphans import is_orphaned, our_mark

OWNER = "kanvaro.owner"
CHECK = "kanvaro.check"
TO_BECOME_HEALTHY = Patience(timeout=120, interval=0.2, longest=1)
ONE_PROBE = Patience(timeout=5, interval=0.03)


@contextmanager
def service_containers(
    environment: Environment,
    names: Sequence[str],
    check: str,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[dict[str, str]]:
    """Run the named services while the block lasts; yield the variables with their addresses.

    Raises `ConfigurationError` if an image cannot be had, `CheckFailed` with the service's last
    lines if it does not become healthy.
    """
    if not names:
        yield {}
        return
    with engine(environment) as client, ExitStack() as cleanup:
        remove_orphans(client)
        images = [_image(environment, name) for name in names]
        started = [
            (image, cleanup.enter_context(_container(client, image, check))) for image in images
        ]
        for image, container in started:
            _await_health(client, container, image, stop)
        yield {image.variable: _address(image, container) for image, container in started}


def remove_orphans(client: DockerClient) -> None:
    """Remove service containers whose worker on this machine is dead."""
    for container in client.containers.list(
        all=True, filters={"label": OWNER}, ignore_removed=True
    ):
        if is_orphaned(container.labels.get(OWNER, "")):
            _remove(container)


def _image(environment: Environment, name: str) -> ServiceImage:
    try:
        return environment.service_images[name]
    except KeyError:
        known = ", ".join(environment.service_images) or "none"
        raise ConfigurationError(
            f"{environment.name} has no service {name!r}", hint=f"It has: {known}."
        ) from None


@contextmanager
def _container(client: DockerClient, image: ServiceImage, check: str) -> Iterator[Container]:
    container = _started(client, image, check)
    try:
        yield container
    finally:
        _remove(container)


def _started(client: DockerClient, image: ServiceImage, check: str) -> Container:
    try:
        return client.containers.run(
            image.reference,
            detach=True,
            labels={OWNER: our_mark(), CHECK: check},
            # Port 0 of the host: the kernel chooses a free one.
            ports={f"{image.port}/tcp": ("127.0.0.1", 0)},
        )
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


def _address(image: ServiceImage, container: Container) -> str:
    container.reload()
    [binding, *_] = container.ports[f"{image.port}/tcp"] or [{}]
    return image.uri.format(host="127.0.0.1", port=binding["HostPort"])


def _remove(container: Container) -> None:
    try:
        container.remove(force=True, v=True)
    except APIError as error:
        # It is gone already, or another run is removing it at this moment.
        if error.status_code not in (404, 409):
            raise
