"""What a MongoDB server does, proven on the stand-in and, where MONGODB_TEST_URI is set, on it.

MONGODB_TEST_URI names a server with access control, with the credentials of a root user.
"""

import json
import os
import secrets
import signal
import socket
import struct
import subprocess
import threading
from datetime import UTC, datetime, timedelta

import bson
import pymongo
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, WriteError

from delivery.workspace.process_identity import started
from sandbox.databases import mongo_process
from sandbox.databases.mongo_process import mongo_stand_in

ROOT_PASSWORD = "pä:s@s/word %"
REAL = os.environ.get("MONGODB_TEST_URI")
NOT_AUTHORIZED, WRONG_LOGIN, NO_SUCH_COMMAND, NOT_SERVED = 13, 18, 59, 115


@pytest.fixture(scope="module", params=["stand-in", *(["real"] if REAL else [])])
def root(request):
    if request.param == "real":
        with pymongo.MongoClient(REAL, serverSelectionTimeoutMS=5000) as client:
            yield client
        return
    with (
        mongo_stand_in("root", ROOT_PASSWORD) as server,
        pymongo.MongoClient(
            server.uri(), username="root", password=ROOT_PASSWORD, serverSelectionTimeoutMS=5000
        ) as client,
    ):
        yield client


@pytest.fixture
def db(root):
    database = root[f"kanvaro_{secrets.token_hex(4)}"]
    yield database
    database.command("dropAllUsersFromDatabase")
    root.drop_database(database.name)


@pytest.fixture
def items(db):
    return db.items


@pytest.fixture
def login(root, db):
    """A client of the same server for a user of `db`."""
    opened = []

    def as_user(user, password, **options):
        host, port = root.address
        client = pymongo.MongoClient(
            host,
            port,
            username=user,
            password=password,
            authSource=db.name,
            serverSelectionTimeoutMS=5000,
            **options,
        )
        opened.append(client)
        return client

    yield as_user
    for client in opened:
        client.close()


def refused(code):
    return pytest.raises(OperationFailure, match=r".", check=lambda failure: failure.code == code)


@pytest.mark.skipif(not REAL, reason="MONGODB_TEST_URI is not set: only the stand-in was asked")
def test_the_contract_is_asked_of_a_real_server(root):
    assert root.server_info()["version"]


# -- documents ---------------------------------------------------------------------------------


def test_every_kind_of_value_comes_back_as_it_was(items):
    values = {
        "text": "žluťoučký",
        "int": 7,
        "wide": Int64(2**40),
        "float": 1.5,
        "nothing": None,
        "yes": True,
        "when": datetime.fromisoformat("2026-01-02T03:04:05.678"),
        "id": ObjectId(),
        "bytes": b"\x00\xff\xfe",
        "binary": Binary(b"\xff", 5),
        "money": Decimal128("1.10"),
        "pattern": Regex("^a", "i"),
        "nested": {"list": [1, [2, {"deep": []}], {}]},
    }
    items.insert_one({"_id": 1, **values})
    assert items.find_one({"_id": 1}, {"_id": 0}) == values


def test_a_document_without_id_gets_one_first(db):
    db.command("insert", "items", documents=[{"name": "a"}])
    document = db.items.find_one()
    assert list(document) == ["_id", "name"]
    assert isinstance(document["_id"], ObjectId)


def test_filters_sorts_skips_limits_and_projects(items):
    items.insert_many([{"n": n, "even": n % 2 == 0, "at": {"x": n}} for n in range(20)])
    page = items.find({"even": True, "n": {"$gte": 4}}, {"_id": 0, "n": 1})
    assert list(page.sort("n", -1).skip(1).limit(2)) == [{"n": 16}, {"n": 14}]
    assert items.count_documents({"at.x": {"$in": [1, 2, 99]}}) == 2
    assert items.find_one({"$or": [{"n": 3}, {"n": 4}]}, sort=[("n", -1)])["n"] == 4
    assert items.distinct("even") == [True, False]


def test_a_long_answer_comes_in_batches(root, items):
    items.insert_many([{"n": n} for n in range(1000)])
    assert [one["n"] for one in items.find(batch_size=99).sort("n", 1)] == list(range(1000))
    cursor = items.find(batch_size=10)
    next(cursor)
    cursor_id = cursor.cursor_id
    assert cursor_id
    cursor.close()
    with refused(43):
        items.database.command("getMore", Int64(cursor_id), collection="items")


def test_one_answer_never_has_more_than_16_megabytes(items):
    items.insert_many([{"blob": b"x" * 3_000_000} for _ in range(8)])
    assert [len(one["blob"]) for one in items.find()] == [3_000_000] * 8


def test_a_document_of_more_than_16_megabytes_is_refused(db):
    db.items.insert_one({"_id": 1, "blob": b"x" * 9_000_000})
    with refused(10334):
        db.items.update_one({"_id": 1}, {"$set": {"more": b"x" * 9_000_000}})
    assert "more" not in db.items.find_one()


@pytest.mark.parametrize(
    ("change", "after"),
    [
        ({"$set": {"a.b": 1, "n": 5}}, {"n": 5, "tags": ["x"], "a": {"b": 1}}),
        ({"$inc": {"n": 2}, "$unset": {"tags": ""}}, {"n": 3}),
        ({"$push": {"tags": {"$each": ["y", "z"], "$slice": -2}}}, {"n": 1, "tags": ["y", "z"]}),
        ({"$addToSet": {"tags": "x"}}, {"n": 1, "tags": ["x"]}),
        ({"$pull": {"tags": "x"}, "$mul": {"n": 3}}, {"n": 3, "tags": []}),
        ({"$rename": {"n": "m"}, "$min": {"k": 1}}, {"m": 1, "tags": ["x"], "k": 1}),
        ({"$set": {"_id": 1}, "$max": {"n": 9}}, {"n": 9, "tags": ["x"]}),
        ({"$set": {"tags.$[one]": "X"}}, {"n": 1, "tags": ["X"]}),
        ([{"$set": {"double": {"$multiply": ["$n", 2]}}}], {"n": 1, "tags": ["x"], "double": 2}),
    ],
)
def test_update_operators(items, change, after):
    items.insert_one({"_id": 1, "n": 1, "tags": ["x"]})
    filters = [{"one": "x"}] if "$[one]" in str(change) else None
    items.update_one({"_id": 1}, change, array_filters=filters)
    assert items.find_one({}, {"_id": 0}) == after


def test_update_counts_what_it_matched_and_what_it_changed(items):
    items.insert_many([{"n": 1}, {"n": 1}, {"n": 2}])
    outcome = items.update_many({"n": {"$lte": 2}}, {"$set": {"n": 2}})
    assert (outcome.matched_count, outcome.modified_count) == (3, 2)
    assert items.replace_one({"n": 2}, {"whole": True}).modified_count == 1
    assert items.count_documents({"whole": True}) == 1
    assert items.delete_one({"n": 2}).deleted_count == 1
    assert items.delete_many({}).deleted_count == 2


def test_the_id_of_a_document_cannot_be_changed(items):
    items.insert_one({"_id": 1})
    with pytest.raises(WriteError, match="immutable"):
        items.update_one({"_id": 1}, {"$set": {"_id": 2}})


def test_an_upsert_starts_from_what_the_filter_fixes(items):
    change = {"$inc": {"n": 1}, "$setOnInsert": {"born": True}}
    first = items.update_one({"name": "a", "at.x": 1, "k": {"$gt": 0}}, change, upsert=True)
    assert first.upserted_id is not None
    again = items.update_one({"name": "a"}, {**change, "$setOnInsert": {"no": 1}}, upsert=True)
    assert again.upserted_id is None
    assert items.find_one({}, {"_id": 0}) == {"name": "a", "at": {"x": 1}, "n": 2, "born": True}


def test_find_and_modify(items):
    items.insert_many([{"_id": 1, "n": 1}, {"_id": 2, "n": 2}])
    before = items.find_one_and_update({}, {"$inc": {"n": 10}}, sort=[("n", -1)])
    assert before == {"_id": 2, "n": 2}
    after = items.find_one_and_update({"_id": 3}, {"$set": {"n": 3}}, upsert=True)
    assert after is None
    changed = items.find_one_and_update({"_id": 3}, {"$set": {"n": 4}}, return_document=True)
    assert changed == {"_id": 3, "n": 4}
    assert items.find_one_and_delete({"_id": 1}) == {"_id": 1, "n": 1}
    assert items.count_documents({}) == 2


def test_a_bad_update_changes_nothing(items):
    items.insert_one({"_id": 1, "n": "text"})
    with pytest.raises(OperationFailure):
        items.update_one({"_id": 1}, {"$frobnicate": {"n": 1}})
    with pytest.raises(OperationFailure):
        items.find_one({"n": {"$frobnicate": 1}})
    assert items.find_one() == {"_id": 1, "n": "text"}


def test_aggregation(db):
    db.orders.insert_many([{"who": who, "n": n} for who, n in [("a", 1), ("b", 2), ("a", 4)]])
    db.people.insert_many([{"_id": "a", "name": "Ada"}, {"_id": "b", "name": "Bob"}])
    pipeline = [
        {"$group": {"_id": "$who", "sum": {"$sum": "$n"}}},
        {"$lookup": {"from": "people", "localField": "_id", "foreignField": "_id", "as": "p"}},
        {"$unwind": "$p"},
        {"$project": {"_id": 0, "name": "$p.name", "sum": 1}},
        {"$sort": {"sum": -1}},
    ]
    assert list(db.orders.aggregate(pipeline)) == [
        {"sum": 5, "name": "Ada"},
        {"sum": 2, "name": "Bob"},
    ]
    list(db.orders.aggregate([{"$match": {"who": "a"}}, {"$out": "copied"}]))
    assert db.copied.count_documents({}) == 2
    with refused(40324):
        db.orders.aggregate([{"$frobnicate": {}}])


# -- indexes and the catalogue -----------------------------------------------------------------


def test_a_unique_index_refuses_the_second(items):
    items.create_index([("mail", 1), ("team", 1)], unique=True)
    items.insert_one({"mail": "a", "team": 1})
    items.insert_one({"mail": "a", "team": 2})
    with pytest.raises(DuplicateKeyError) as refusal:
        items.insert_one({"mail": "a", "team": 1})
    assert refusal.value.details["keyValue"] == {"mail": "a", "team": 1}
    with pytest.raises(DuplicateKeyError):
        items.update_one({"team": 2}, {"$set": {"team": 1}})
    items.delete_one({"team": 1})
    items.update_one({"team": 2}, {"$set": {"team": 1}})
    assert items.count_documents({"mail": "a", "team": 1}) == 1


def test_a_unique_index_is_refused_where_it_does_not_hold(items):
    items.insert_many([{"n": 1}, {"n": 1}])
    with pytest.raises(DuplicateKeyError):
        items.create_index("n", unique=True)
    assert list(items.index_information()) == ["_id_"]


def test_a_sparse_and_a_partial_unique_index_leave_the_others_alone(items):
    items.create_index("code", unique=True, sparse=True)
    items.create_index("mail", unique=True, partialFilterExpression={"active": True})
    items.insert_many([{"mail": "a", "active": True}, {"mail": "a"}, {"mail": "a"}])
    with pytest.raises(DuplicateKeyError):
        items.insert_one({"mail": "a", "active": True})


def test_an_ordered_batch_stops_at_the_first_duplicate_and_an_unordered_one_does_not(items):
    with pytest.raises(BulkWriteError) as stopped:
        items.insert_many([{"_id": 1}, {"_id": 1}, {"_id": 2}])
    assert stopped.value.details["nInserted"] == 1
    with pytest.raises(BulkWriteError) as went_on:
        items.insert_many([{"_id": 1}, {"_id": 3}, {"_id": 4}], ordered=False)
    assert went_on.value.details["nInserted"] == 2
    assert went_on.value.details["writeErrors"][0]["code"] == 11000


def test_indexes_are_listed_and_dropped(items):
    items.create_index("a")
    items.create_index("a")
    items.create_index([("b", -1)], name="mine", expireAfterSeconds=60)
    listed = items.index_information()
    assert listed["a_1"]["key"] == [("a", 1)]
    assert listed["mine"]["expireAfterSeconds"] == 60
    with refused(86):
        items.create_index("c", name="mine")
    items.drop_index("mine")
    with refused(27):
        items.drop_index("mine")
    items.drop_indexes()
    assert list(items.index_information()) == ["_id_"]


def test_collections_and_databases_come_and_go(root, db):
    assert db.name not in root.list_database_names()
    db.create_collection("empty")
    with pytest.raises(pymongo.errors.CollectionInvalid):
        db.create_collection("empty")
    db.items.insert_one({})
    assert sorted(db.list_collection_names()) == ["empty", "items"]
    assert db.name in root.list_database_names()
    db.drop_collection("empty")
    assert db.list_collection_names() == ["items"]
    root.drop_database(db.name)
    assert db.name not in root.list_database_names()


# -- the protocol ------------------------------------------------------------------------------


def test_an_unknown_command_is_refused(db):
    with refused(NO_SUCH_COMMAND):
        db.command("frobnicate")


def test_a_transaction_is_refused_by_a_server_that_is_no_replica_set(root, db):
    if root.admin.command("hello").get("setName"):
        pytest.skip("MONGODB_TEST_URI names a replica set, which has transactions")
    with root.start_session() as session, refused(20), session.start_transaction():
        db.items.insert_one({}, session=session)
    assert db.items.count_documents({}) == 0


def test_writes_without_an_answer_are_done(items):
    unacknowledged = items.with_options(write_concern=pymongo.WriteConcern(w=0))
    for n in range(50):
        unacknowledged.insert_one({"_id": n})
    assert unacknowledged.database.client.admin.command("ping")["ok"] == 1
    for _ in range(100):
        if items.count_documents({}) == 50:
            return
    raise AssertionError("not all of the unanswered writes were done")


def test_many_clients_at_once_lose_no_increment(root, items):
    items.insert_one({"_id": 1, "n": 0})

    def count() -> None:
        for _ in range(50):
            items.update_one({"_id": 1}, {"$inc": {"n": 1}})

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert items.find_one()["n"] == 400


# -- logins and roles --------------------------------------------------------------------------


@pytest.mark.parametrize("password", ["simple", ROOT_PASSWORD, "=,r=x", "\u2168 Ⅸ ª", "x" * 200])
def test_any_password_works_and_only_that(db, login, password):
    db.command("createUser", "app", pwd=password, roles=["readWrite"])
    assert login("app", password)[db.name].items.insert_one({}).acknowledged
    with refused(WRONG_LOGIN):
        login("app", password + "!")[db.name].items.find_one()
    with refused(WRONG_LOGIN):
        login("nobody", password)[db.name].items.find_one()


def test_who_is_not_logged_in_may_say_hello_and_nothing_else(root, db):
    with pymongo.MongoClient(*root.address, serverSelectionTimeoutMS=5000) as stranger:
        assert stranger.admin.command("ping")["ok"] == 1
        assert stranger.admin.command("buildInfo")["version"]
        for command in [{"find": "items"}, {"listDatabases": 1}, {"usersInfo": 1}]:
            with refused(NOT_AUTHORIZED):
                stranger.admin.command(command)


@pytest.mark.parametrize(
    ("role", "allowed", "forbidden"),
    [
        ("read", ["find", "count"], ["insert", "update", "delete", "createIndexes", "createUser"]),
        ("readWrite", ["find", "insert", "update", "delete", "createIndexes"], ["createUser"]),
        ("dbAdmin", ["createIndexes", "listCollections"], ["find", "insert", "createUser"]),
        ("userAdmin", ["createUser", "usersInfo"], ["find", "insert", "listCollections"]),
    ],
)
def test_a_role_allows_what_it_says_and_no_more(db, login, role, allowed, forbidden):
    commands = {
        "find": {"find": "items"},
        "count": {"count": "items"},
        "insert": {"insert": "items", "documents": [{}]},
        "update": {"update": "items", "updates": [{"q": {}, "u": {"$set": {"a": 1}}}]},
        "delete": {"delete": "items", "deletes": [{"q": {}, "limit": 0}]},
        "createIndexes": {"createIndexes": "items", "indexes": [{"key": {"a": 1}, "name": "a"}]},
        "listCollections": {"listCollections": 1},
        "createUser": {"createUser": "other", "pwd": "x", "roles": ["read"]},
        "usersInfo": {"usersInfo": 1},
    }
    db.command("createUser", "app", pwd="secret", roles=[role])
    own = login("app", "secret")
    for name in allowed:
        assert own[db.name].command(commands[name])["ok"] == 1
    for name in forbidden:
        with refused(NOT_AUTHORIZED):
            own[db.name].command(commands[name])
    with refused(NOT_AUTHORIZED):
        own[f"{db.name}_other"].command(commands["find"])


def test_user_admins_of_all_databases_manage_users_but_read_no_documents(root, db):
    name = f"admin_{secrets.token_hex(4)}"
    root.admin.command("createUser", name, pwd="secret", roles=["userAdminAnyDatabase"])
    try:
        with pymongo.MongoClient(*root.address, username=name, password="secret") as own:
            own[db.name].command("createUser", "made", pwd="x", roles=["readWrite"])
            with refused(NOT_AUTHORIZED):
                own[db.name].items.find_one()
        assert db.command("usersInfo", "made")["users"][0]["roles"] == [
            {"role": "readWrite", "db": db.name}
        ]
    finally:
        root.admin.command("dropUser", name)


def test_users_are_made_shown_changed_and_dropped(db, login):
    db.command("createUser", "app", pwd="one", roles=["read"])
    with refused(51003):
        db.command("createUser", "app", pwd="two", roles=[])
    with refused(31):
        db.command("createUser", "other", pwd="two", roles=["emperor"])
    [user] = db.command("usersInfo", "app")["users"]
    assert (user["user"], user["db"], user["roles"]) == (
        "app",
        db.name,
        [{"role": "read", "db": db.name}],
    )
    assert "one" not in str(db.command("usersInfo", "app", showCredentials=True))
    db.command("updateUser", "app", roles=[{"role": "readWrite", "db": db.name}])
    assert login("app", "one")[db.name].items.insert_one({}).acknowledged
    db.command("dropUser", "app")
    assert db.command("usersInfo", "app")["users"] == []
    for command in ("updateUser", "dropUser"):
        with refused(11):
            db.command({command: "app", **({"pwd": "x"} if command == "updateUser" else {})})


def test_a_changed_password_counts_for_new_logins_and_leaves_open_ones(db, login):
    db.command("createUser", "app", pwd="old", roles=["readWrite"])
    open_before = login("app", "old", maxPoolSize=1)
    open_before[db.name].items.insert_one({})
    db.command("updateUser", "app", pwd="new")
    open_before[db.name].items.insert_one({})
    with refused(WRONG_LOGIN):
        login("app", "old")[db.name].items.find_one()
    assert login("app", "new")[db.name].items.count_documents({}) == 2


def test_a_user_is_copied_by_what_is_shown_of_it_and_a_majority_confirms_it(db, login):
    majority = {"w": "majority", "wtimeout": 5000}
    db.command("createUser", "app_a", pwd="one", roles=["readWrite"], writeConcern=majority)
    asked = {"usersInfo": {"user": "app_a", "db": db.name}, "showAuthenticationRestrictions": True}
    [model] = db.command(asked)["users"]
    assert not model.get("authenticationRestrictions")
    copied = {"roles": model["roles"], "mechanisms": model["mechanisms"], "writeConcern": majority}
    db.command("createUser", "app_b", pwd="two", **copied)
    db.command("updateUser", "app_b", pwd="three", **copied)
    db.command("updateUser", "app_b", roles=model["roles"], writeConcern=majority)

    shown = [
        login(user, password).admin.command("connectionStatus", showPrivileges=True)["authInfo"]
        for user, password in (("app_a", "one"), ("app_b", "three"))
    ]
    for each in ("authenticatedUserRoles", "authenticatedUserPrivileges"):
        assert shown[0][each] == shown[1][each]
    with refused(NOT_AUTHORIZED):
        login("app_b", "three")[db.name].command("createUser", "x", pwd="x", roles=[])


def test_a_dropped_user_is_out_at_once_and_a_namesake_inherits_nothing(db, login):
    db.command("createUser", "app", pwd="old", roles=["readWrite"])
    own = login("app", "old", maxPoolSize=1)
    own[db.name].items.insert_one({})
    db.command("dropUser", "app")
    db.command("createUser", "app", pwd="new", roles=["readWrite"])
    with refused(NOT_AUTHORIZED):
        own[db.name].items.find_one()


def test_the_privileges_of_a_connection_are_shown(db, login):
    db.command("createUser", "app", pwd="secret", roles=["read"])
    own = login("app", "secret")[db.name]
    status = own.command("connectionStatus", showPrivileges=True)["authInfo"]
    assert status["authenticatedUsers"] == [{"user": "app", "db": db.name}]
    assert status["authenticatedUserRoles"] == [{"role": "read", "db": db.name}]
    actions = {
        action
        for privilege in status["authenticatedUserPrivileges"]
        if privilege["resource"] == {"db": db.name, "collection": ""}
        for action in privilege["actions"]
    }
    assert "find" in actions
    assert "insert" not in actions


def test_current_op_names_the_users_of_idle_connections(root, db, login):
    db.command("createUser", "app", pwd="secret", roles=["read"])
    own = login("app", "secret", appname="drained", maxPoolSize=1)
    own[db.name].items.find_one()
    pipeline = [
        {"$currentOp": {"allUsers": True, "idleConnections": True}},
        {"$match": {"effectiveUsers": {"$elemMatch": {"user": "app", "db": db.name}}}},
    ]
    found = list(root.admin.aggregate(pipeline))
    assert {one["appName"] for one in found} == {"drained"}
    with refused(NOT_AUTHORIZED):
        own.admin.aggregate(pipeline)
    own.close()
    for _ in range(200):
        if not list(root.admin.aggregate(pipeline)):
            return
    raise AssertionError("a closed connection is still shown")


# -- the stand-in alone ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def open_server():
    with mongo_stand_in() as server:
        yield server


def message(document, request_id=1):
    body = struct.pack("<I", 0) + b"\0" + bson.encode(document)
    return struct.pack("<iiii", 16 + len(body), request_id, 0, 2013) + body


def read_replies(connection, count):
    received, replies = b"", []
    while len(replies) < count:
        received += connection.recv(65536)
        while len(received) >= 4 and len(received) >= (
            size := struct.unpack("<i", received[:4])[0]
        ):
            replies.append((struct.unpack("<i", received[8:12])[0], bson.decode(received[21:size])))
            received = received[size:]
    return replies


def test_it_calls_itself_a_stand_in(open_server):
    with pymongo.MongoClient(open_server.uri()) as client:
        assert client.server_info()["standIn"] == "kanvaro sandbox"
        assert client.server_info()["versionArray"][:2] == [7, 0]
        assert client.admin.command("hello")["standIn"] == "kanvaro sandbox"


def test_pipelined_and_torn_messages_are_each_answered_in_order(open_server):
    stream = b"".join(message({"ping": 1, "$db": "admin"}, n) for n in range(1, 6))
    with socket.create_connection((open_server.host, open_server.port), timeout=5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(stream), 7):
            connection.sendall(stream[at : at + 7])
        replies = read_replies(connection, 5)
    assert [(number, reply["ok"]) for number, reply in replies] == [(n, 1.0) for n in range(1, 6)]


@pytest.mark.parametrize(
    "nonsense",
    [
        struct.pack("<iiii", 49_000_000, 1, 0, 2013),
        struct.pack("<iiii", 3, 1, 0, 2013),
        struct.pack("<iiii", 26, 1, 0, 2013) + b"\0\0\0\0\0\xff\xff\xff\x7f\0",
        struct.pack("<iiii", 16, 1, 0, 2012),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["too long", "too short", "torn section", "compressed", "http"],
)
def test_nonsense_ends_that_connection_and_no_other(open_server, nonsense):
    with (
        pymongo.MongoClient(open_server.uri()) as client,
        socket.create_connection((open_server.host, open_server.port), timeout=5) as connection,
    ):
        client.admin.command("ping")
        connection.sendall(nonsense)
        assert connection.recv(100) == b""
        assert client.admin.command("ping")["ok"] == 1


def test_what_it_does_not_do_it_says(open_server):
    with pymongo.MongoClient(open_server.uri()) as client:
        db = client.other
        for command in (
            {"create": "capped", "capped": True, "size": 1000},
            {"createIndexes": "x", "indexes": [{"key": {"a": "text"}, "name": "a"}]},
            {"aggregate": "x", "pipeline": [{"$merge": "y"}], "cursor": {}},
            {"setParameter": 1, "quiet": True},
        ):
            with refused(NOT_SERVED):
                db.command(command)
        db.items.insert_one({})
        with pytest.raises(OperationFailure):
            db.items.find_one({"$where": "true"})


def test_expired_documents_go(open_server):
    program = """
      import { Databases } from "./collections.mjs";
      const items = new Databases().open("db", "items");
      items.createIndex({ key: { at: 1 }, name: "at_1", expireAfterSeconds: 60 });
      for (const seconds of [0, 59, 61]) {
        items.insert({ _id: seconds, at: new Date(-seconds * 1000) });
      }
      items.removeExpired(0);
      console.log(JSON.stringify(items.documents().map((one) => one._id)));
    """
    node = subprocess.run(
        ["node", "--input-type=module", "-e", program],
        cwd=mongo_process.installed(),
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert json.loads(node.stdout) == [0, 59]


def test_sigterm_stops_it_at_once_even_with_open_connections():
    with (
        mongo_stand_in("root", "secret") as server,
        pymongo.MongoClient(server.uri(), username="root", password="secret") as client,
    ):
        client.admin.command("ping")
        asked = datetime.now(UTC)
        os.kill(server.pid, signal.SIGTERM)
        while started(server.pid):
            assert datetime.now(UTC) - asked < timedelta(seconds=20)


def test_a_port_in_use_is_named(open_server):
    with (
        pytest.raises(Exception, match=f"did not start.*{open_server.port}.*EADDRINUSE"),
        mongo_stand_in(port=open_server.port),
    ):
        pass


def test_a_half_given_root_login_does_not_start():
    with pytest.raises(Exception, match="needs both"), mongo_stand_in("root", None):
        pass


def test_mongoose_works_on_it(open_server):
    folder = mongo_process.installed(with_mongoose=True)
    node = subprocess.run(
        ["node", "mongoose_contract.mjs", open_server.uri(f"m{secrets.token_hex(3)}")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert node.returncode == 0, node.stdout + node.stderr
    assert "mongoose: ok" in node.stdout
