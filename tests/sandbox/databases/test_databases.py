"""The databases of the deployed application: who is let in, from where, and as what."""

from urllib.parse import urlsplit

import pymongo
import pytest
import redis
from pymongo.errors import OperationFailure
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from sandbox.databases.accounts import ADMIN, APPLICATION
from sandbox.databases.databases import Databases
from sandbox.databases.service_images import ensure_service_images
from sandbox.host.engine import docker_engine
from sandbox.host.orphans import owner_of


@pytest.fixture(scope="module")
def images(client):
    return ensure_service_images(client)


@pytest.fixture(scope="module")
def databases(client, images, tmp_path_factory):
    owner = owner_of(tmp_path_factory.mktemp("databases"))
    with Databases(docker_engine().client(), images, owner) as running:
        yield running


def to_redis(uri):
    return redis.Redis.from_url(uri, decode_responses=True, retry=Retry(NoBackoff(), 0))


def to_mongodb(uri):
    return pymongo.MongoClient(uri, serverSelectionTimeoutMS=5000)


def with_password(uri, password):
    parts = urlsplit(uri)
    return parts._replace(netloc=f"{parts.username}:{password}@{parts.hostname}:{parts.port}")


def test_the_application_keeps_what_it_writes(databases):
    with to_mongodb(databases.uris["mongodb"]) as client:
        projects = client.get_default_database().projects
        projects.insert_one({"_id": "bridge"})
        assert projects.find_one() == {"_id": "bridge"}
    with to_redis(databases.uris["redis"]) as client:
        assert client.acl_whoami() == APPLICATION
        assert client.ping()
        pipeline = client.pipeline().incr("kanvaro:visits").pexpire("kanvaro:visits", 60_000)
        assert pipeline.execute() == [1, True]


@pytest.mark.parametrize("service", ["mongodb", "redis"])
@pytest.mark.parametrize("login", ["uris", "admin_uris"])
def test_a_wrong_password_is_refused(databases, service, login):
    wrong = with_password(getattr(databases, login)[service], "wrong").geturl()
    if service == "redis":
        with to_redis(wrong) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
    else:
        with to_mongodb(wrong) as client, pytest.raises(OperationFailure) as refused:
            client.kanvaro.projects.find_one()
        assert refused.value.code == 18


def test_whoever_has_no_account_is_refused(databases):
    redis_address = urlsplit(databases.uris["redis"])
    with (
        to_redis(f"redis://{redis_address.hostname}:{redis_address.port}") as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()
    mongodb_address = urlsplit(databases.uris["mongodb"])
    with (
        to_mongodb(f"mongodb://{mongodb_address.hostname}:{mongodb_address.port}") as client,
        pytest.raises(OperationFailure, match="requires authentication"),
    ):
        client.kanvaro.projects.find_one()


def test_the_application_may_not_make_accounts_in_mongodb_nor_read_other_databases(databases):
    with to_mongodb(databases.uris["mongodb"]) as client:
        for refused in (
            lambda: client.admin.command("createUser", "mallory", pwd="x", roles=["root"]),
            lambda: client.kanvaro.command("createUser", "mallory", pwd="x", roles=[]),
            lambda: client.admin.command("updateUser", APPLICATION, roles=["root"]),
            lambda: client.shop.items.find_one(),
        ):
            with pytest.raises(OperationFailure) as failure:
                refused()
            assert failure.value.code == 13


@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("ACL", "LIST"),
        ("ACL", "SETUSER", "mallory", "on"),
        ("CONFIG", "GET", "aclfile"),
        ("KEYS", "*"),
        ("GET", "shop:items"),
    ],
)
def test_the_application_may_neither_rule_redis_nor_leave_its_keys(databases, command):
    with to_redis(databases.uris["redis"]) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command)


def test_the_administrator_makes_accounts_in_both(databases):
    with to_mongodb(databases.admin_uris["mongodb"]) as client:
        client.admin.command(
            "createUser", "kanvaro_c", pwd="x", roles=[{"role": "readWrite", "db": "kanvaro"}]
        )
        known = client.admin.command("usersInfo")["users"]
        assert {user["user"] for user in known} == {ADMIN, APPLICATION, "kanvaro_c"}
    with to_redis(databases.admin_uris["redis"]) as client:
        client.acl_setuser("kanvaro_c", enabled=True, passwords=["+x"], categories=["+@all"])
        assert set(client.acl_users()) == {"default", ADMIN, APPLICATION, "kanvaro_c"}
        client.acl_deluser("kanvaro_c")


def test_a_restart_of_redis_keeps_what_acl_save_wrote_and_forgets_the_rest(databases):
    with to_redis(databases.admin_uris["redis"]) as client:
        client.acl_setuser("kept", enabled=True, passwords=["+x"], commands=["+ping"])
        client.acl_save()
        client.acl_setuser("forgotten", enabled=True, passwords=["+x"], commands=["+ping"])
    databases.restart_redis()
    with to_redis(databases.admin_uris["redis"]) as client:
        assert set(client.acl_users()) == {"default", ADMIN, APPLICATION, "kept"}
    with to_redis(databases.uris["redis"]) as client:
        assert client.acl_whoami() == APPLICATION


def test_a_container_of_the_network_logs_in_with_the_same_address_as_this_machine(
    client, databases, images
):
    uri = databases.uris["redis"]
    said = client.containers.run(
        images["redis"].reference,
        ["redis-cli", "--no-auth-warning", "-u", uri, "acl", "whoami"],
        network=databases.network,
        remove=True,
    )
    with to_redis(uri) as here:
        assert said.decode().strip() == here.acl_whoami() == APPLICATION


def test_no_password_is_shown_by_what_is_printed_of_them(databases):
    said = repr(databases._passwords)
    assert databases._passwords.admin not in said
    assert databases._passwords.application not in said


def test_no_service_of_the_network_is_published(client, databases):
    for container in client.networks.get(databases.network).containers:
        assert not any(container.attrs["NetworkSettings"]["Ports"].values())
