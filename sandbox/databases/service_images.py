"""Provide MongoDB and Redis for checks: the real images, or stand-ins that are named as such."""

import hashlib
import inspect
import io
import subprocess
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import BuildError, DockerException

from delivery.errors import ConfigurationError
from sandbox.databases import mongo_process
from sandbox.host.machine import Say, say
from sandbox.images import debian_packages, images, rootfs
from sandbox.images.base_images import ensure_base_image
from sandbox.images.images import find_image, try_to_pull

REDIS_FOLDER = Path(__file__).parent / "redis_debian"
REDIS_USER = 999  # as in the official image
NODE_BASE = "node:22-bookworm-slim"


@dataclass(frozen=True)
class ServiceImage:
    """A service's image and how to use it.

    `health_command` is the `test` of a Docker health check; `uri_template` has the fields `{host}`,
    `{port}` and `{name}` (of a database).
    """

    reference: str
    is_stand_in: bool
    port: int
    health_command: tuple[str, ...]
    uri_template: str


@dataclass(frozen=True)
class _Service:
    real: ServiceImage
    stand_in: ServiceImage
    recipe: Callable[[docker.DockerClient, Say], str]
    make: Callable[[docker.DockerClient, str, Say], None]


def ensure_service_images(
    client: docker.DockerClient, services: Iterable[str] = ("mongodb", "redis"), say: Say = say
) -> dict[str, ServiceImage]:
    """Return a local image for each service; a missing one is pulled or built.

    A stand-in with unchanged content is reused, a changed one is built again; remove it to have the
    real image pulled. Raises `ConfigurationError`, `EngineUnavailable`.
    """
    return {name: _ensure(client, _service(name), say) for name in services}


def _service(name: str) -> _Service:
    if name not in SERVICES:
        raise ConfigurationError(
            f"There is no service image for `{name}`.", hint=f"One of: {', '.join(SERVICES)}."
        )
    return SERVICES[name]


def _ensure(client: docker.DockerClient, service: _Service, say: Say) -> ServiceImage:
    real, stand_in = service.real, service.stand_in
    if (present := find_image(client, real.reference)) and not present.is_stand_in:
        return real
    known = find_image(client, stand_in.reference)
    if known and known.recipe == service.recipe(client, say):
        say(f"{stand_in.reference} stands in for {real.reference}")
        return stand_in
    refusal = try_to_pull(client, real.reference)
    if refusal is None:
        return real
    say(f"{real.reference} cannot be pulled ({refusal}): {stand_in.reference} stands in for it")
    service.make(client, stand_in.reference, say)
    return stand_in


def _mongo_recipe(client: docker.DockerClient, _say: Say) -> str:
    base = find_image(client, NODE_BASE)
    dockerfile = (mongo_process.FOLDER / "Dockerfile").read_bytes()
    sources = repr(sorted(mongo_process.sources().items())).encode()
    return _hash(base.id.encode() if base else b"", dockerfile, sources)


def _make_mongo(client: docker.DockerClient, reference: str, say: Say) -> None:
    base = ensure_base_image(client, NODE_BASE, say)
    recipe = _mongo_recipe(client, say)
    context = _context(mongo_process.installed(), mongo_process.FOLDER / "Dockerfile")
    try:
        client.images.build(
            fileobj=context,
            custom_context=True,
            tag=reference,
            rm=True,
            forcerm=True,
            buildargs={"BASE": base.reference},
            labels=images.stand_in_labels(recipe),
        )
    except (BuildError, DockerException) as failure:
        raise ConfigurationError(f"{reference} could not be built: {failure}") from failure


def _context(folder: Path, dockerfile: Path) -> io.BytesIO:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        archive.add(dockerfile, "Dockerfile")
        archive.add(folder, ".", filter=_owned_by_root)
    context.seek(0)
    return context


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def _redis_recipe(_client: docker.DockerClient, say: Say) -> str:
    server, _ = debian_packages.redis_server(say)
    version = subprocess.run(
        [server.path, "--version"],
        executable=server.path,
        capture_output=True,
        timeout=20,
        check=False,
        env={"LD_LIBRARY_PATH": server.library_path},
    )
    return _hash(
        version.stdout,
        str(server.path.stat().st_size).encode(),
        (REDIS_FOLDER / "docker-entrypoint.sh").read_bytes(),
        inspect.getsource(rootfs).encode(),
        inspect.getsource(_fill_redis).encode(),
    )


def _make_redis(client: docker.DockerClient, reference: str, say: Say) -> None:
    labels = images.stand_in_labels(_redis_recipe(client, say))
    configuration = [
        "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "WORKDIR /data",
        "USER redis",
        "EXPOSE 6379",
        "VOLUME /data",
        'ENTRYPOINT ["docker-entrypoint.sh"]',
        'CMD ["redis-server"]',
        *(f"LABEL {name}={value}" for name, value in labels.items()),
    ]
    programs, busybox = debian_packages.redis_server(say), debian_packages.static_busybox(say)
    with rootfs.rootfs_archive(lambda root: _fill_redis(root, *programs, busybox)) as archive:
        images.import_image(client, archive, reference, configuration)


def _fill_redis(
    root: rootfs.Rootfs,
    server: debian_packages.Program,
    client: debian_packages.Program,
    busybox: Path,
) -> None:
    root.base({"redis": REDIS_USER}, "Kanvaro: Debian's redis-server")
    root.directory("/data", owner=REDIS_USER)
    root.program(server.path, "/usr/local/bin/redis-server", server.library_path)
    root.program(client.path, "/usr/local/bin/redis-cli", client.library_path)
    root.copy(REDIS_FOLDER / "docker-entrypoint.sh", "/usr/local/bin/docker-entrypoint.sh")
    root.busybox(busybox)


def _hash(*parts: bytes) -> str:
    content = hashlib.sha256()
    for part in parts:
        content.update(hashlib.sha256(part).digest())
    return content.hexdigest()[:16]


_MONGO_URI = "mongodb://{host}:{port}/{name}"
_REDIS_URI = "redis://{host}:{port}/0"
_MONGOSH_PING = "quit(db.adminCommand({ ping: 1 }).ok ? 0 : 1)"
# Without -e redis-cli exits with 0 even if the server answers with an error.
_REDIS_PING = ("CMD", "redis-cli", "-e", "ping")

SERVICES = {
    "mongodb": _Service(
        real=ServiceImage(
            reference="mongo:6.0",
            is_stand_in=False,
            port=27017,
            health_command=("CMD", "mongosh", "--quiet", "--eval", _MONGOSH_PING),
            uri_template=_MONGO_URI,
        ),
        stand_in=ServiceImage(
            reference="kanvaro-sandbox/mongo-stand-in:6.0",
            is_stand_in=True,
            port=27017,
            health_command=("CMD", "node", "/opt/mongo-stand-in/ping.mjs"),
            uri_template=_MONGO_URI,
        ),
        recipe=_mongo_recipe,
        make=_make_mongo,
    ),
    "redis": _Service(
        real=ServiceImage(
            reference="redis:7-alpine",
            is_stand_in=False,
            port=6379,
            health_command=_REDIS_PING,
            uri_template=_REDIS_URI,
        ),
        stand_in=ServiceImage(
            reference="kanvaro-sandbox/redis-debian:7",
            is_stand_in=True,
            port=6379,
            health_command=_REDIS_PING,
            uri_template=_REDIS_URI,
        ),
        recipe=_redis_recipe,
        make=_make_redis,
    ),
}
