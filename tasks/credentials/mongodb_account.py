"""Set, test and retire users of MongoDB, by commands that every server since 4.4 has.

`admin_uri` is an administrator's, `uri` the application's; a user belongs to the database that its
URI logs in against. A majority of the replica set confirms each change, so an election cannot lose
it. A connection stays logged in after its user's password was changed; only dropping the user ends
its rights at once.
Source: https://www.mongodb.com/docs/manual/reference/command/nav-user-management/
"""

import secrets
from typing import Any

from pymongo.database import Database
from pymongo.errors import ConfigurationError as BadUri
from pymongo.errors import OperationFailure

from delivery.credentials.connection_uri import Login, login_of
from delivery.errors import (
    AccessDenied,
    ConfigurationError,
    CredentialUnfit,
    Drift,
    StillAccepted,
)
from tasks.confirmed import ensure, retry_until_answered
from tasks.credentials.mongodb_connection import (
    NOT_AUTHORIZED,
    Client,
    Document,
    connected,
    is_unclear,
    login_database,
    nodes_of,
)

PROBE = "_rotation_probe"
MAJORITY = {"w": "majority", "wtimeout": 10_000}
USER_NOT_FOUND = 11


def check_admin(admin_uri: str, live_uri: str) -> None:
    """Check that a rotation can begin; nothing is changed.

    Raises `AccessDenied` if the administrator or the application cannot log in, or the former may
    not do what a rotation needs, and `ConfigurationError` if the live user cannot be copied.
    """
    with connected(admin_uri, "look at its users") as admin:
        _model(_users_of(admin, live_uri), login_of(live_uri).user)
        _counted(admin, admin_uri, live_uri)
    with connected(live_uri, f"let {login_of(live_uri).user} in") as own:
        _database(own)


def set_account(admin_uri: str, live_uri: str, wanted_uri: str) -> None:
    """Give the idle user of `wanted_uri` its password and exactly the roles of the live user.

    A password that is accepted already is kept; the roles are written again in any case, confirmed
    by a majority. Raises `ConfigurationError` if both URIs name the same user.
    """
    live, wanted = login_of(live_uri), login_of(wanted_uri)
    _refuse_same(live, wanted)
    with connected(admin_uri, f"set the user {wanted.user}") as admin:
        users = _users_of(admin, wanted_uri)
        model = _model(_users_of(admin, live_uri), live.user)
        ensure(
            lambda: _write(users, wanted, model),
            lambda: logs_in(wanted_uri),
            is_unclear,
            what=f"MongoDB sets the user {wanted.user}",
        )
        _confirm(users, wanted.user, model["roles"])


def prove_account(uri: str, live_uri: str) -> None:
    """Use a credential on a new connection.

    Raises `CredentialUnfit` if it cannot log in, has other privileges than the live user, cannot
    write, read and delete a document of `_rotation_probe`, or may create users.
    """
    user = login_of(uri).user
    with connected(live_uri, "show the live user's privileges") as own:
        expected = _privileges(own)
    try:
        with connected(uri, f"let {user} use it") as own:
            if _privileges(own) != expected:
                raise CredentialUnfit(
                    f"{user} has other privileges in MongoDB than the live user has"
                )
            _use(own, user)
            _refuse_administrator(own, user)
    except AccessDenied as error:
        raise CredentialUnfit(str(error)) from None


def logs_in(uri: str) -> bool:
    """Whether a new connection can log in."""
    try:
        with connected(uri, f"let {login_of(uri).user} in"):
            return True
    except AccessDenied:
        return False


def count_connections(admin_uri: str, uri: str) -> int:
    """How many connections the user of a URI has, on all nodes together."""
    with connected(admin_uri, "list its connections") as admin:
        return _counted(admin, admin_uri, uri)


def retire_account(admin_uri: str, uri: str, live_uri: str, *, at_once: bool = False) -> None:
    """Give a user a random password that is not kept, and verify that the old one is refused.

    The account stays for the next rotation, and open connections stay logged in; `at_once` drops
    the user instead, which ends the rights of every connection. A user that does not exist, or
    whose password is refused already, is only confirmed. Raises `ConfigurationError` if it is the
    live one, `StillAccepted` if it can log in afterwards.
    """
    old = login_of(uri)
    _refuse_same(login_of(live_uri), old)
    with connected(admin_uri, f"retire the user {old.user}") as admin:
        users = _users_of(admin, uri)
        if at_once:
            _drop(users, old.user)
        else:
            ensure(
                lambda: _change(users, "updateUser", old.user, pwd=secrets.token_urlsafe(32)),
                lambda: not logs_in(uri),
                is_unclear,
                what=f"MongoDB takes the password of {old.user}",
            )
            if found := _found(users, old.user):
                _confirm(users, old.user, found["roles"])
    prove_refused(uri)


def prove_refused(uri: str) -> None:
    """Verify that a credential is refused. Raises `StillAccepted` if it is not."""
    if logs_in(uri):
        raise StillAccepted(f"MongoDB still lets {login_of(uri).user} in")


def _refuse_same(live: Login, idle: Login) -> None:
    if live.user == idle.user:
        raise ConfigurationError(
            f"the MongoDB user {live.user} is the live one: it is not changed while it is in use",
            hint="Correct the secret's MongoDB URI, then run again. Nothing was changed.",
        )


def _model(users: Database[Document], user: str) -> Document:
    """The live user, whose roles are copied."""
    found = _found(users, user)
    if found is None:
        raise Drift(
            f"MongoDB has no user {user} in the database {users.name}, though one logs in so",
            hint="Correct authSource in the secret's MongoDB URI, then run again.",
        )
    refuse_restricted(found)
    return found


def refuse_restricted(user: Document) -> None:
    """Raise `ConfigurationError` for a user restricted to addresses: that is not copied."""
    if user.get("authenticationRestrictions"):
        raise ConfigurationError(
            f"the MongoDB user {user['user']} has authentication restrictions, which a rotation "
            "does not copy",
            hint="Restrict by network or role instead. Nothing was changed.",
        )


def _found(users: Database[Document], user: str) -> Document | None:
    answer = users.command(
        {"usersInfo": {"user": user, "db": users.name}, "showAuthenticationRestrictions": True}
    )
    return next(iter(answer["users"]), None)


def _write(users: Database[Document], wanted: Login, model: Document) -> None:
    members: Document = {"pwd": wanted.password, "roles": model["roles"]}
    if "mechanisms" in model:
        members["mechanisms"] = model["mechanisms"]
    command = "updateUser" if _found(users, wanted.user) else "createUser"
    _change(users, command, wanted.user, **members)


def _confirm(users: Database[Document], user: str, roles: list[Document]) -> None:
    # A change of a killed run may never have reached the majority.
    retry_until_answered(
        lambda: _change(users, "updateUser", user, roles=roles),
        is_unclear,
        what=f"MongoDB confirms the user {user}",
    )


def _drop(users: Database[Document], user: str) -> None:
    def drop() -> None:
        try:
            _change(users, "dropUser", user)
        except OperationFailure as error:
            if error.code != USER_NOT_FOUND:
                raise

    ensure(
        drop,
        lambda: _found(users, user) is None,
        is_unclear,
        what=f"MongoDB drops the user {user}",
    )


def _change(users: Database[Document], command: str, user: str, **members: Any) -> None:
    users.command({command: user, **members, "writeConcern": MAJORITY})


def _privileges(own: Client) -> tuple[Any, ...]:
    """Roles and privileges of the connected user, sorted, so that two users can be compared."""
    status = own.admin.command({"connectionStatus": 1, "showPrivileges": True})["authInfo"]
    roles = sorted((role["db"], role["role"]) for role in status["authenticatedUserRoles"])
    privileges = sorted(
        (sorted(each["resource"].items()), sorted(each["actions"]))
        for each in status["authenticatedUserPrivileges"]
    )
    return roles, privileges


def _use(own: Client, user: str) -> None:
    probe = _database(own)[PROBE]
    written = {"_id": secrets.token_hex(8)}
    probe.insert_one(written)
    if probe.find_one(written) != written or probe.delete_one(written).deleted_count != 1:
        raise CredentialUnfit(f"MongoDB lost what {user} wrote to {PROBE}")


def _refuse_administrator(own: Client, user: str) -> None:
    users, name = _database(own), f"{PROBE}_{secrets.token_hex(4)}"
    try:
        users.command({"createUser": name, "pwd": secrets.token_urlsafe(32), "roles": []})
    except OperationFailure as error:
        if error.code == NOT_AUTHORIZED:
            return
        raise
    users.command({"dropUser": name})
    raise CredentialUnfit(
        f"{user} may create users in MongoDB, which an application may not",
        hint="Take that right from the live user's roles by hand, then run again.",
    )


def _database(own: Client) -> Database[Document]:
    try:
        return own.get_default_database()
    except BadUri:
        raise ConfigurationError(
            "the secret's MongoDB URI names no database",
            hint="Write it as mongodb://…/DATABASE?…, then run again. Nothing was changed.",
        ) from None


def _counted(admin: Client, admin_uri: str, uri: str) -> int:
    whose = {"user": login_of(uri).user, "db": login_database(uri)}
    pipeline: list[Document] = [
        {"$currentOp": {"allUsers": True, "idleConnections": True}},
        {"$match": {"effectiveUsers": {"$elemMatch": whose}}},
    ]
    return sum(len(list(node.admin.aggregate(pipeline))) for node in nodes_of(admin, admin_uri))


def _users_of(admin: Client, uri: str) -> Database[Document]:
    return admin[login_database(uri)]
