"""MongoDB users on the stand-in, and on a real server where MONGODB_TEST_URI names one.

Lost answers and counts of what was sent are seen on the way, so those are asked of both.
"""

import os
import secrets
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import pymongo
import pytest
from pymongo.errors import OperationFailure, WTimeoutError

from delivery.credentials.connection_uri import Login, login_of, with_login
from delivery.errors import (
    AccessDenied,
    ConfigurationError,
    CredentialUnfit,
    Drift,
    StillAccepted,
    Unreachable,
)
from sandbox.databases.mongo_process import mongo_stand_in
from tasks import confirmed
from tasks.credentials import mongodb_account, mongodb_connection
from tests.losing import Losing

ROOT = Login("root", "canary-root/p@ss")
LIVE = Login("kanvaro_a", "canary-live")
IDLE = Login("kanvaro_b", "canary idle/p@ss:word+#%ž")
REAL = os.environ.get("MONGODB_TEST_URI")


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch):
    monkeypatch.setattr(confirmed, "PAUSE_S", 0)


@pytest.fixture(scope="module", params=["stand-in", *(["real"] if REAL else [])])
def admin_uri(request):
    if request.param == "real":
        yield REAL
        return
    with mongo_stand_in(ROOT.user, ROOT.password) as server:
        yield with_login(server.uri("admin"), ROOT)


@pytest.fixture
def root(admin_uri):
    with pymongo.MongoClient(admin_uri) as client:
        yield client


@pytest.fixture
def users(root):
    """A database of its own, with the live user."""
    database = root[f"kanvaro_{secrets.token_hex(4)}"]
    database.command("createUser", LIVE.user, pwd=LIVE.password, roles=["readWrite"])
    yield database
    database.command("dropAllUsersFromDatabase")
    root.drop_database(database.name)


def uri_of(users, login):
    host, port = users.client.address
    return with_login(f"mongodb://{host}:{port}/{users.name}", login)


@pytest.fixture
def live(users):
    return uri_of(users, LIVE)


@pytest.fixture
def wanted(users):
    return uri_of(users, IDLE)


@pytest.fixture
def proxy(users):
    with Losing(users.client.address[1]) as way:
        yield way


def by_way_of(uri, proxy):
    parts = urlsplit(uri)
    return with_login(f"mongodb://127.0.0.1:{proxy.port}{parts.path}", login_of(uri))


def stored(users, login):
    """What is kept of a user: the salt of a password is another each time it is set."""
    answer = users.command("usersInfo", login.user, showCredentials=True)
    return next(iter(answer["users"]), None)


def test_the_idle_user_gets_the_live_ones_roles_and_passes_its_test(admin_uri, users, live, wanted):
    mongodb_account.check_admin(admin_uri, live)
    mongodb_account.set_account(admin_uri, live, wanted)
    mongodb_account.prove_account(wanted, live)

    assert stored(users, IDLE)["roles"] == [{"role": "readWrite", "db": users.name}]
    assert mongodb_account.logs_in(live)
    assert users[mongodb_account.PROBE].count_documents({}) == 0


def test_a_user_that_is_there_gets_a_new_password_and_loses_roles_too_many(
    admin_uri, users, live, wanted
):
    users.command("createUser", IDLE.user, pwd="old", roles=["dbOwner"])

    mongodb_account.set_account(admin_uri, live, wanted)

    mongodb_account.prove_account(wanted, live)
    assert not mongodb_account.logs_in(uri_of(users, Login(IDLE.user, "old")))


def test_a_password_that_is_set_stays_and_roles_are_made_sure_of_again(
    admin_uri, users, live, wanted
):
    mongodb_account.set_account(admin_uri, live, wanted)
    before = stored(users, IDLE)
    users.command("updateUser", IDLE.user, roles=["read"])

    mongodb_account.set_account(admin_uri, live, wanted)

    assert stored(users, IDLE) == before


@pytest.mark.parametrize("is_there", [True, False])
def test_a_lost_answer_while_setting_has_one_effect(
    admin_uri, users, live, wanted, proxy, is_there
):
    command = "updateUser" if is_there else "createUser"
    if is_there:
        users.command("createUser", IDLE.user, pwd="old", roles=[])
    proxy.lose_answer_to(command)

    mongodb_account.set_account(by_way_of(admin_uri, proxy), live, wanted)

    mongodb_account.prove_account(wanted, live)
    assert proxy.passed("createUser") == (0 if is_there else 1)
    assert proxy.passed("pwd") == 1


def test_a_lost_answer_to_the_confirmation_is_asked_for_again(
    admin_uri, users, live, wanted, proxy
):
    mongodb_account.set_account(admin_uri, live, wanted)
    before = stored(users, IDLE)
    proxy.lose_answer_to("updateUser")

    mongodb_account.set_account(by_way_of(admin_uri, proxy), live, wanted)

    assert proxy.passed("updateUser") == 2
    assert proxy.passed("pwd") == 0
    assert stored(users, IDLE) == before


def test_every_change_asks_for_a_majority(admin_uri, live, wanted, proxy):
    way = by_way_of(admin_uri, proxy)
    mongodb_account.set_account(way, live, wanted)
    mongodb_account.retire_account(way, live, wanted)
    mongodb_account.retire_account(way, live, wanted, at_once=True)

    changes = sum(proxy.passed(word) for word in ("createUser", "updateUser", "dropUser"))
    assert changes == 5
    assert proxy.passed("majority") == changes


def test_a_change_that_no_majority_confirmed_is_told(admin_uri, live, wanted, monkeypatch):
    def not_confirmed(*_, **__):
        raise WTimeoutError("waiting for replication timed out", 64)

    monkeypatch.setattr(mongodb_account, "_change", not_confirmed)

    with pytest.raises(Unreachable, match="no majority"):
        mongodb_account.set_account(admin_uri, live, wanted)


def test_a_retired_user_is_refused_and_who_is_connected_stays(admin_uri, users, live, wanted):
    mongodb_account.set_account(admin_uri, live, wanted)
    with pymongo.MongoClient(live, maxPoolSize=1) as client:
        client[users.name].items.insert_one({})

        mongodb_account.retire_account(admin_uri, live, wanted)

        client[users.name].items.insert_one({})
    mongodb_account.prove_refused(live)
    assert stored(users, LIVE)["roles"] == [{"role": "readWrite", "db": users.name}]
    mongodb_account.prove_account(wanted, wanted)


def test_at_once_ends_the_rights_of_who_is_connected(admin_uri, users, live, wanted):
    mongodb_account.set_account(admin_uri, live, wanted)
    with pymongo.MongoClient(live, maxPoolSize=1) as client:
        client[users.name].items.insert_one({})

        mongodb_account.retire_account(admin_uri, live, wanted, at_once=True)

        with pytest.raises(OperationFailure):
            client[users.name].items.insert_one({})
    assert stored(users, LIVE) is None
    mongodb_account.retire_account(admin_uri, live, wanted, at_once=True)
    mongodb_account.set_account(admin_uri, wanted, live)
    mongodb_account.prove_account(live, wanted)


@pytest.mark.parametrize(("word", "at_once"), [("pwd", False), ("dropUser", True)])
def test_a_lost_answer_while_retiring_has_one_effect(admin_uri, live, wanted, proxy, word, at_once):
    mongodb_account.set_account(admin_uri, live, wanted)
    proxy.lose_answer_to(word)

    mongodb_account.retire_account(by_way_of(admin_uri, proxy), live, wanted, at_once=at_once)

    assert proxy.passed(word) == 1
    mongodb_account.prove_refused(live)


def test_retiring_again_leaves_the_password_that_nobody_knows(admin_uri, users, live, wanted):
    mongodb_account.set_account(admin_uri, live, wanted)
    mongodb_account.retire_account(admin_uri, live, wanted)
    before = stored(users, LIVE)

    mongodb_account.retire_account(admin_uri, live, wanted)

    assert stored(users, LIVE) == before


def test_connections_of_a_user_are_counted_and_those_of_a_namesake_are_not(
    admin_uri, root, users, live
):
    other = root[f"{users.name}_2"]
    other.command("createUser", LIVE.user, pwd="x", roles=["read"])
    try:
        assert mongodb_account.count_connections(admin_uri, live) == 0
        with (
            closing(pymongo.MongoClient(live)) as own,
            closing(pymongo.MongoClient(uri_of(other, Login(LIVE.user, "x")))) as namesake,
        ):
            own[users.name].items.find_one()
            namesake[other.name].items.find_one()
            assert mongodb_account.count_connections(admin_uri, live) == 1
    finally:
        other.command("dropAllUsersFromDatabase")


def test_every_node_of_a_replica_set_is_asked_by_itself(monkeypatch):
    """Two servers, and clients that take them for the nodes of one set."""
    with (
        mongo_stand_in(ROOT.user, ROOT.password) as first,
        mongo_stand_in(ROOT.user, ROOT.password) as second,
        ExitStack() as clients,
    ):
        for server in (first, second):
            with pymongo.MongoClient(with_login(server.uri("admin"), ROOT)) as root:
                root.kanvaro.command("createUser", LIVE.user, pwd=LIVE.password, roles=["read"])
            own = pymongo.MongoClient(with_login(server.uri("kanvaro"), LIVE), maxPoolSize=1)
            clients.enter_context(own).kanvaro.items.find_one()
        nodes = frozenset((server.host, server.port) for server in (first, second))
        monkeypatch.setattr(pymongo.MongoClient, "nodes", nodes)
        admin_uri = with_login(f"{first.uri('kanvaro')}?authSource=admin", ROOT)

        live = with_login(first.uri("kanvaro"), LIVE)
        assert mongodb_account.count_connections(admin_uri, live) == 2


def test_a_sharded_cluster_is_refused_since_nobody_would_be_counted(admin_uri, live, monkeypatch):
    monkeypatch.setattr(pymongo.MongoClient, "is_mongos", True)

    with pytest.raises(ConfigurationError, match="sharded"):
        mongodb_account.check_admin(admin_uri, live)


def test_the_live_user_is_never_set_or_retired(admin_uri, users, live):
    before = stored(users, LIVE)
    other = with_login(live, Login(LIVE.user, "another"))
    for change in (mongodb_account.set_account, mongodb_account.retire_account):
        with pytest.raises(ConfigurationError, match="is the live one"):
            change(admin_uri, live, other)
    assert stored(users, LIVE) == before


def test_other_privileges_than_the_live_users_are_unfit(admin_uri, users, live, wanted):
    mongodb_account.set_account(admin_uri, live, wanted)
    for roles in (["readWrite", "dbAdmin"], ["read"]):
        users.command("updateUser", IDLE.user, roles=roles)
        with pytest.raises(CredentialUnfit, match="other privileges"):
            mongodb_account.prove_account(wanted, live)


def test_one_who_may_only_read_is_unfit(admin_uri, users, live, wanted):
    users.command("updateUser", LIVE.user, roles=["read"])
    mongodb_account.set_account(admin_uri, live, wanted)

    with pytest.raises(CredentialUnfit, match="Unauthorized"):
        mongodb_account.prove_account(wanted, live)


def test_one_who_may_create_users_is_unfit_and_the_probe_is_gone(admin_uri, users, live, wanted):
    users.command("updateUser", LIVE.user, roles=["dbOwner"])
    mongodb_account.set_account(admin_uri, live, wanted)

    with pytest.raises(CredentialUnfit, match="may create users"):
        mongodb_account.prove_account(wanted, live)
    assert {each["user"] for each in users.command("usersInfo")["users"]} == {LIVE.user, IDLE.user}


def test_a_wrong_password_is_refused_and_never_quoted(admin_uri, users, live, wanted):
    wrong = with_login(live, Login(LIVE.user, "canary-wrong"))
    for act in (
        lambda: mongodb_account.check_admin(with_login(admin_uri, LIVE), live),
        lambda: mongodb_account.check_admin(admin_uri, wrong),
        lambda: mongodb_account.prove_account(wanted, wrong),
        lambda: mongodb_account.set_account(with_login(admin_uri, IDLE), live, wanted),
    ):
        with pytest.raises(AccessDenied, match="AuthenticationFailed") as raised:
            act()
        assert "canary" not in f"{raised.value} {raised.value.hint}"
        assert raised.value.__cause__ is None
    with pytest.raises(CredentialUnfit, match="AuthenticationFailed"):
        mongodb_account.prove_account(wrong, live)


def test_an_administrator_who_may_not_see_users_or_connections_is_refused(root, users, live):
    root.admin.command(
        "createUser", "half", pwd="x", roles=["userAdminAnyDatabase"], comment="no clusterMonitor"
    )
    try:
        host, port = root.address
        half = with_login(f"mongodb://{host}:{port}/admin", Login("half", "x"))
        with pytest.raises(AccessDenied, match="Unauthorized"):
            mongodb_account.check_admin(half, live)
        with pytest.raises(AccessDenied, match="Unauthorized"):
            mongodb_account.check_admin(live, live)
    finally:
        root.admin.command("dropUser", "half")


def test_a_uri_without_database_and_a_user_of_another_database_are_told(
    admin_uri, root, users, live
):
    bare = live.replace(f"/{users.name}", f"/?authSource={users.name}")
    with pytest.raises(ConfigurationError, match="names no database"):
        mongodb_account.check_admin(admin_uri, bare)
    with pytest.raises(Drift, match=r"no user kanvaro_a in the database admin"):
        mongodb_account.check_admin(admin_uri, f"{live}?authSource=admin")


def test_a_user_bound_to_addresses_is_no_model():
    with pytest.raises(ConfigurationError, match="restrictions"):
        mongodb_account.refuse_restricted(
            {"user": "app", "authenticationRestrictions": [{"clientSource": ["10.0.0.1"]}]}
        )
    mongodb_account.refuse_restricted({"user": "app", "authenticationRestrictions": []})


def test_one_who_is_still_let_in_is_told(live):
    with pytest.raises(StillAccepted, match="still lets kanvaro_a in"):
        mongodb_account.prove_refused(live)


def test_a_server_that_does_not_answer_is_told_without_its_uri(live, monkeypatch):
    monkeypatch.setattr(mongodb_connection, "ANSWER_S", 0.4)
    for uri, kind in (
        ("mongodb://root:canary@127.0.0.1:1/admin", Unreachable),
        (
            "mongodb://root:canary@127.0.0.1:port/admin",
            ConfigurationError,
        ),
    ):
        with pytest.raises(kind) as raised:
            mongodb_account.check_admin(uri, live)
        assert "canary" not in str(raised.value)
