"""Users in the access control lists of Redis 7, on every node.

ACLs are neither replicated nor kept over a restart until ACL SAVE, so that each node is changed,
saved and asked by itself. `nodes` are URIs of an administrator for each of them (primary and
replicas; not Sentinels, nor a cluster); `uri` is the application's. A password reaches a server as
its SHA-256 only, except where its user logs in. A connection outlives the password it was made
with, and even its user's being off, until CLIENT KILL.
Source: https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/
"""

import re
import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import redis

from delivery.credentials.connection_uri import Login, login_of, with_login
from delivery.errors import (
    AccessDenied,
    ConfigurationError,
    CredentialUnfit,
    DeliveryError,
    StillAccepted,
)
from tasks.confirmed import ensure, retry_until_answered
from tasks.credentials.redis_connection import connected, is_unclear, place_of

PROBE = "_rotation_probe"
PROBE_LIFE_S = 60
BY_DEFAULT = "sanitize-payload"
# What no application needs; the first of each kind stands for the rest of it.
FORBIDDEN = (("FLUSHALL",), ("CONFIG", "GET", "dir"), ("ACL", "SETUSER", "probe"))

_RULE = re.compile(r"\([^)]*\)|\S+")
# A pattern without a star names a key of the application's own, which a probe must not touch.
_WRITABLE = re.compile(r"(?:~|%RW~|%WR~)(.*\*.*)")


def check_nodes(nodes: Sequence[str], live_uri: str) -> None:
    """See that a rotation can begin: nothing is changed.

    Raises `AccessDenied` if the administrator or the application cannot log in on a node, and
    `ConfigurationError` if a node would forget its users, or the application may do too much.
    """
    login = login_of(live_uri)
    for node in nodes:
        with connected(node, "look at its users") as admin:
            if not admin.config_get("aclfile").get("aclfile"):
                raise ConfigurationError(
                    f"Redis at {place_of(node)} has no ACL file and would forget its users",
                    hint="Start it with `aclfile`, then run again. Nothing was changed.",
                )
            _rules(admin, login.user, node)
            _refuse_forbidden(admin, login.user, node, ConfigurationError)
        with connected(with_login(node, login), f"let {login.user} in") as own:
            own.ping()


def set_account(nodes: Sequence[str], live_uri: str, wanted_uri: str) -> None:
    """Give the idle user of `wanted_uri` its password and just the rules of the live user.

    A user that is so already is left, but every node is made to save its users in any case.
    Raises `ConfigurationError` if both URIs name the same user, or a node does not know the live.
    """
    live, wanted = login_of(live_uri), login_of(wanted_uri)
    _refuse_same(live, wanted)
    for node in nodes:
        with connected(node, f"set the user {wanted.user}") as admin:
            rules = ["on", _fingerprint(wanted), *_rules(admin, live.user, node)]
            _set_user(admin, wanted.user, ["reset", *rules], sorted(rules), node)
            _save(admin, node)


def prove_account(nodes: Sequence[str], uri: str, live_uri: str) -> None:
    """Use a credential on fresh connections to every node and at its own address.

    Raises `CredentialUnfit` if it cannot log in, write, read and delete a key, may do what no
    application needs, or has other rules than the live user.
    """
    login, live = login_of(uri), login_of(live_uri)
    for node in nodes:
        with connected(node, f"look at the user {login.user}") as admin:
            rules = _rules(admin, login.user, node)
            if rules != _rules(admin, live.user, node):
                raise CredentialUnfit(
                    f"{login.user} has other rules than {live.user} in Redis at {place_of(node)}"
                )
            _refuse_forbidden(admin, login.user, node, CredentialUnfit)
    key = _probe_key(login.user, rules)
    written = [_use(address, login, key) for address in (uri, *_as(login, nodes))]
    if not any(written):
        raise CredentialUnfit(f"no Redis node lets {login.user} write: all are replicas")


def count_connections(nodes: Sequence[str], user: str) -> int:
    """How many connections a user has, on all nodes together."""
    count = 0
    for node in nodes:
        with connected(node, "list its connections") as admin:
            count += _connections(admin, user)
    return count


def retire_account(nodes: Sequence[str], uri: str, live_uri: str) -> None:
    """Take a user's passwords, switch it off, end its connections, and see it refused.

    A user that is gone or off already is only saved again. Raises `ConfigurationError` if it is
    the live one, `StillAccepted` if it can log in afterwards.
    """
    login = login_of(uri)
    _refuse_same(login_of(live_uri), login)
    for node in nodes:
        with connected(node, f"retire the user {login.user}") as admin:
            if _line(admin, login.user) is not None:
                rules = _rules(admin, login.user, node)
                _set_user(admin, login.user, ["resetpass", "off"], sorted(["off", *rules]), node)
                _end_connections(admin, login.user, node)
            _save(admin, node)
    prove_refused(nodes, uri)


def prove_refused(nodes: Sequence[str], uri: str) -> None:
    """See a credential refused by every node. Raises `StillAccepted` if one lets it in."""
    login = login_of(uri)
    for address in (uri, *_as(login, nodes)):
        try:
            with connected(address, f"let {login.user} in") as own:
                own.ping()
        except AccessDenied:
            continue
        raise StillAccepted(f"Redis at {place_of(address)} still lets {login.user} in")


def _as(login: Login, nodes: Sequence[str]) -> list[str]:
    return [with_login(node, login) for node in nodes]


def _refuse_same(live: Login, idle: Login) -> None:
    if live.user == idle.user:
        raise ConfigurationError(
            f"the Redis user {live.user} is the live one: it is not changed while it is in use",
            hint="Correct the secret's Redis URI, then run again. Nothing was changed.",
        )


def _fingerprint(login: Login) -> str:
    return "#" + sha256(login.password.encode()).hexdigest()


def _set_user(
    admin: redis.Redis, user: str, changes: list[str], wanted: list[str], node: str
) -> None:
    ensure(
        lambda: _ask(admin, "ACL SETUSER", user, *changes),
        lambda: sorted(_line(admin, user) or []) == wanted,
        is_unclear,
        what=f"Redis at {place_of(node)} changes the user {user}",
    )


def _end_connections(admin: redis.Redis, user: str, node: str) -> None:
    ensure(
        lambda: _ask(admin, "CLIENT KILL", "USER", user),
        lambda: _connections(admin, user) == 0,
        is_unclear,
        what=f"Redis at {place_of(node)} ends the connections of {user}",
    )


def _save(admin: redis.Redis, node: str) -> None:
    # Also where nothing was changed: a run that died may have left it in memory only.
    retry_until_answered(
        admin.acl_save, is_unclear, what=f"Redis at {place_of(node)} saves its users"
    )


def _connections(admin: redis.Redis, user: str) -> int:
    return sum(each["user"] == user for each in admin.client_list())


def _rules(admin: redis.Redis, user: str, node: str) -> list[str]:
    """What a user may do: keys, channels, commands and selectors, without its passwords."""
    line = _line(admin, user)
    if line is None:
        raise ConfigurationError(
            f"Redis at {place_of(node)} has no user {user}",
            hint="ACLs are not replicated: make the user there by hand, then run again.",
        )
    return [rule for rule in line if rule not in ("on", "off", "nopass") and rule[0] != "#"]


def _line(admin: redis.Redis, user: str) -> list[str] | None:
    """The rules of a user as ACL LIST shows them (and the ACL file does); None if there is none.

    What a user has by default is left out: it is shown of one that was `reset`, and only of those.
    """
    read = (_RULE.findall(str(line)) for line in admin.acl_list())
    found = next((rules for _, name, *rules in read if name == user), None)
    return None if found is None else [rule for rule in found if rule != BY_DEFAULT]


def _refuse_forbidden(admin: redis.Redis, user: str, node: str, kind: type[DeliveryError]) -> None:
    for command in FORBIDDEN:
        if _ask(admin, "ACL DRYRUN", user, *command) in ("OK", True):
            raise kind(
                f"{user} may run {command[0]} in Redis at {place_of(node)}",
                hint="Take -@admin -@dangerous from the user's rights by hand (ACL SETUSER), "
                "then run again.",
            )


def _probe_key(user: str, rules: list[str]) -> str:
    """A key that the user may write, by the first pattern of its rules that allows one."""
    for rule in rules:
        if match := _WRITABLE.fullmatch(rule):
            one_of = re.sub(r"\[\^?(.)[^\]]*\]", r"\1", match[1])
            return one_of.replace("*", PROBE, 1).replace("*", "").replace("?", "_")
    raise CredentialUnfit(f"the Redis user {user} has no key that it may read and write")


def _use(address: str, login: Login, key: str) -> bool:
    """Log in, write, read and delete; False on a replica, which takes no writes."""
    said = secrets.token_hex(8)
    try:
        with connected(address, f"let {login.user} use it") as own:
            if own.acl_whoami() != login.user:
                raise CredentialUnfit(
                    f"Redis at {place_of(address)} takes {login.user} for another"
                )
            try:
                own.set(key, said, ex=PROBE_LIFE_S)
            except redis.ReadOnlyError:
                own.get(key)
                return False
            if own.get(key) != said or own.delete(key) != 1:
                raise CredentialUnfit(f"Redis at {place_of(address)} lost what {login.user} wrote")
    except AccessDenied as error:
        raise CredentialUnfit(str(error)) from None
    return True


def _ask(admin: redis.Redis, *words: str) -> Any:
    return admin.execute_command(*words)  # type: ignore[no-untyped-call]
