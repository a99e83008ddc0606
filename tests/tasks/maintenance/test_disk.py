"""Disk is given back: images that runs built, and caches; never an image that is not ours."""

import io
import os
import time
import uuid
from contextlib import suppress

import pytest
from docker.errors import APIError, ImageNotFound
from prefect.logging import disable_run_logger
from prefect_docker import DockerHost

from delivery.maintenance import disk as limits
from sandbox.host.engine import docker_engine
from tasks.containers.built_images import BUILT, remove_old_images
from tasks.maintenance.disk import give_back_disk
from tasks.workspace.package_cache import bound_cache
from tasks.workspace.workspace import open_workspace
from tests.tasks.containers.engines import environment_with


@pytest.fixture
def client():
    made = docker_engine().client()
    yield made
    made.close()


@pytest.fixture
def build(client):
    """Build an image as a run does; it carries the label of our builds unless told otherwise."""
    made = []

    def from_scratch(name=None, *, is_ours=True):
        label = "kanvaro.tree" if is_ours else "kanvaro.tree.of.somebody"
        text = f"FROM scratch\nLABEL {label}=1\nLABEL unique={uuid.uuid4().hex}\n"
        image, _ = client.images.build(fileobj=io.BytesIO(text.encode()), rm=True, tag=name)
        made.append(image.id)
        return image.id

    yield from_scratch
    for image in made:
        with suppress(APIError):
            client.images.remove(image, force=True)


@pytest.fixture
def after_a_while(monkeypatch):
    """Let what the test made count as old, and everything else as needed."""
    monkeypatch.setattr(limits, "UNTOUCHED_S", -1)
    monkeypatch.setattr(limits, "LONGEST_RUN_S", -1)


@pytest.fixture
def only(client, monkeypatch):
    """Let the engine show only these images: other tests build some at the same time."""

    def shown(*wanted):
        listed = client.api.images
        monkeypatch.setattr(
            client.api,
            "images",
            lambda **how: [each for each in listed(**how) if each["Id"] in wanted],
        )

    return shown


def exists(client, image):
    try:
        client.images.get(image)
    except ImageNotFound:
        return False
    return True


def test_images_of_earlier_builds_go_and_the_newest_stay(client, build, only, after_a_while):
    older, newer = build(), build(f"{BUILT}:a-dead-run-{uuid.uuid4().hex}")
    only(older, newer)

    assert remove_old_images(client, 1) == 1

    assert not exists(client, older)
    assert exists(client, newer)
    assert remove_old_images(client, 0) == 1
    assert not exists(client, newer)


def test_an_image_of_somebody_else_or_with_a_name_of_its_own_stays(
    client, build, only, after_a_while
):
    somebodys = build(is_ours=False)
    named = build(f"mine:{uuid.uuid4().hex}")
    only(somebodys, named)

    assert remove_old_images(client, 0) == 0

    assert exists(client, somebodys)
    assert exists(client, named)


def test_an_image_that_a_container_has_stays(client, build, only, after_a_while):
    image = build()
    only(image)
    container = client.api.create_container(image, command=["none"])["Id"]
    try:
        assert remove_old_images(client, 0) == 0
        assert exists(client, image)
    finally:
        client.api.remove_container(container)


def test_what_was_just_built_or_is_being_pushed_stays(client, build, only):
    built, pushed = build(), build(f"{BUILT}:{uuid.uuid4().hex}")
    only(built, pushed)

    assert remove_old_images(client, 0) == 0


def test_a_cache_is_bounded_and_what_was_used_last_stays(tmp_path):
    now = time.time()
    for age, name in enumerate(("new", "old", "older")):
        path = tmp_path / name / "content"
        path.parent.mkdir()
        path.write_bytes(bytes(1_000_000))
        os.utime(path, (now - age * 1000, now - age * 1000))
    (tmp_path / "link").symlink_to("/etc/hostname")

    assert bound_cache(tmp_path, 2) == 2

    assert [path.parent.name for path in tmp_path.rglob("content")] == ["new"]
    assert bound_cache(tmp_path, 2) == 0
    assert bound_cache(tmp_path / "nothing", 0) == 0


def test_a_run_bounds_the_cache_where_no_schedule_does(tmp_path):
    environment = environment_with(tmp_path)
    environment.policy = environment.policy.model_copy(update={"cache_mb": 1})
    cached = environment.data_dir / "cache/npm/content"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(bytes(3_000_000))

    with open_workspace(environment):
        assert not cached.exists()


def test_an_engine_that_is_away_is_no_failure(tmp_path):
    environment = environment_with(tmp_path)
    environment.docker = DockerHost(base_url="tcp://127.0.0.1:9")
    cached = environment.data_dir / "cache/npm/content"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(bytes(3_000_000))
    environment.policy = environment.policy.model_copy(update={"cache_mb": 1})

    with disable_run_logger():
        assert give_back_disk.fn(environment) == "removed 3 MB of package caches"
