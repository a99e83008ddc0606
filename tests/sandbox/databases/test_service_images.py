import secrets
import time
from contextlib import contextmanager
from dataclasses import replace

import pymongo
import pytest
import redis

from delivery.errors import ConfigurationError
from sandbox.databases import mongo_process, service_images
from sandbox.databases.service_images import ensure_service_images


@pytest.fixture(scope="module")
def services(client):
    return ensure_service_images(client)


@contextmanager
def running(client, image, **more):
    container = client.containers.create(
        image.reference,
        ports={f"{image.port}/tcp": ("127.0.0.1", None)},
        healthcheck={"test": list(image.health_command), "interval": 300_000_000, "retries": 3},
        labels={"kanvaro.test": "service-images"},
        **more,
    )
    try:
        container.start()
        yield container
    finally:
        container.remove(force=True, v=True)


def wait_for_health(container, wanted="healthy"):
    for _ in range(150):
        container.reload()
        if container.health == wanted:
            return container
        time.sleep(0.1)
    raise AssertionError(f"{container.health}: {container.logs().decode()[-500:]}")


def uri(container, image, name="shop"):
    port = container.ports[f"{image.port}/tcp"][0]["HostPort"]
    return image.uri_template.format(host="127.0.0.1", port=port, name=name)


def test_each_service_names_an_image_the_engine_has(client, services):
    assert set(services) == {"mongodb", "redis"}
    for service in services.values():
        image = client.images.get(service.reference)
        assert service.is_stand_in == (image.labels.get("kanvaro.stand-in") == "true")
        assert service.is_stand_in == service.reference.startswith("kanvaro-sandbox/")


def test_mongodb_becomes_healthy_and_stores(client, services):
    image = services["mongodb"]
    with running(client, image) as container:
        wait_for_health(container)
        with pymongo.MongoClient(uri(container, image), serverSelectionTimeoutMS=5000) as mongo:
            database = mongo.get_default_database()
            database.items.insert_one({"_id": 1})
            assert database.items.find_one() == {"_id": 1}


def test_mongodb_with_a_root_user_lets_nobody_else_in(client, services):
    image = services["mongodb"]
    login = {"MONGO_INITDB_ROOT_USERNAME": "root", "MONGO_INITDB_ROOT_PASSWORD": "pa:ss"}
    with running(client, image, environment=login) as container:
        wait_for_health(container)
        address = uri(container, image, name="admin")
        with pymongo.MongoClient(address, username="root", password="pa:ss") as mongo:
            assert mongo.shop.items.insert_one({}).acknowledged
        with (
            pymongo.MongoClient(address, serverSelectionTimeoutMS=5000) as stranger,
            pytest.raises(pymongo.errors.OperationFailure, match="requires authentication"),
        ):
            stranger.shop.items.find_one()


def test_redis_becomes_healthy_stores_and_takes_options(client, services):
    image = services["redis"]
    with running(client, image, command=["redis-server", "--appendonly", "yes"]) as container:
        wait_for_health(container)
        with redis.Redis.from_url(uri(container, image), decode_responses=True) as store:
            store.set("a", "ž")
            assert store.get("a") == "ž"
            assert store.info("server")["redis_version"].startswith("7.")
            assert store.config_get("appendonly") == {"appendonly": "yes"}


def test_no_service_runs_as_root(client, services):
    for image in services.values():
        with running(client, image) as container:
            wait_for_health(container)
            name = "redis-server" if image.port == 6379 else "node"
            if not image.is_stand_in:
                pytest.skip("the real images decide that for themselves")
            status = container.exec_run(["grep", "-h", "Uid", "/proc/1/status"]).output.split()
            assert status[1] != b"0", name


@pytest.mark.parametrize("name", ["mongodb", "redis"])
def test_a_service_that_does_not_answer_is_unhealthy(client, services, name):
    with running(client, services[name], command=["sleep", "60"]) as container:
        wait_for_health(container, "unhealthy")


def test_an_unchanged_service_is_ready_at_once(client, services):
    said = []
    assert ensure_service_images(client, say=said.append) == services
    assert not any("cannot be pulled" in line for line in said)


def test_a_changed_stand_in_is_made_anew(client, services, monkeypatch, tmp_path):
    if not services["mongodb"].is_stand_in:
        pytest.skip("the real MongoDB image is here")
    reference = f"kanvaro-sandbox/mongo-stand-in:test-{secrets.token_hex(4)}"
    known = service_images.SERVICES["mongodb"]
    own = replace(known, stand_in=replace(known.stand_in, reference=reference))
    monkeypatch.setitem(service_images.SERVICES, "mongodb", own)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    said = []
    try:
        ensure_service_images(client, ["mongodb"], said.append)
        before = client.images.get(reference)
        before.tag(f"{reference}-before")
        changed = {**mongo_process.sources(), "changed.json": b"{}"}
        monkeypatch.setattr(mongo_process, "sources", lambda: changed)
        ensure_service_images(client, ["mongodb"], said.append)
        after = client.images.get(reference)
    finally:
        for name in (reference, f"{reference}-before"):
            client.images.remove(name)
    assert before.labels["kanvaro.recipe"] != after.labels["kanvaro.recipe"]
    assert sum("mongo:6.0 cannot be pulled" in line for line in said) == 2


def test_the_real_image_is_taken_where_it_is(client, services, monkeypatch):
    there = service_images.images.LocalImage("sha256:0", recipe=None)
    monkeypatch.setattr(service_images, "find_image", lambda _client, reference: there)
    found = ensure_service_images(client, say=lambda _: None)
    assert [found[name].reference for name in ("mongodb", "redis")] == [
        "mongo:6.0",
        "redis:7-alpine",
    ]
    assert not any(service.is_stand_in for service in found.values())


def test_an_unknown_service_is_refused(client):
    with pytest.raises(ConfigurationError, match="no service image for `oracle`") as refusal:
        ensure_service_images(client, ["oracle"])
    assert "mongodb" in refusal.value.hint
