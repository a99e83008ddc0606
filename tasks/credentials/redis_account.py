"""Set, test and retire users in the access control lists of Redis 7, on every node.

ACLs are not replicated, and a restart loses them before ACL SAVE; so each node is changed, saved
and checked separately. `nodes` are URIs of an administrator for each of them (primary and replicas;
no Sentinels, no cluster); `uri` is the application's. A server gets only the SHA-256 of a password,
except where its user logs in. A connection stays open when its password is changed or its user is
switched off, until CLIENT KILL.
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
from tasks.credentials.redis_connection import address_of, connected, is_unclear

PROBE = "_rotation_probe"
PROBE_LIFE_S = 60
BY_DEFAULT = "sanitize-payload"
# Commands that no application needs; each stands for the others of its kind.
FORBIDDEN = (("FLUSHALL",), ("CONFIG", "GET", "dir"), ("ACL", "SETUSER", "probe"))

_RULE = re.compile(r"\([^)]*\)|\S+")
# A pattern without a star names one key of the application, which a probe must not touch.
_WRITABLE = re.compile(r"(?:~|%RW~|%WR~)(.*\*.*)")


def check_nodes(nodes: Sequence[str], live_uri: str) -> None:
    """Check that a rotation can begin; nothing is changed.

    Raises `AccessDenied` if the administrator or the application cannot log in on a node, and
    `ConfigurationError` if a node would lose its users, or the application may do too much.
    """
    login = login_of(live_uri)
    for node in nodes:
        with connected(node, "look at its users") as admin:
            if not admin.config_get("aclfile").get("aclfile"):
                raise ConfigurationError(
                    f"Redis at {address_of(node)} has no ACL file and would forget its users",
                    hint="Start it with `aclfile`, then run again. Nothing was changed.",
                )
            _rules(admin, login.user, node)
            _refuse_forbidden(admin, login.user, node, ConfigurationError)
        with connected(with_login(node, login), f"let {login.user} in") as own:
            own.ping()


def set_account(nodes: Sequence[str], live_uri: str, wanted_uri: str) -> None:
    """Give the idle user of `wanted_uri` its password and exactly the rules of the live user.

    A user that has them already is not changed, but every node saves its users in any case. Raises
    `ConfigurationError` if both URIs name the same user, or a node does not have the live one.
    """
    live, wanted = login_of(live_uri), login_of(wanted_uri)
    _refuse_same(live, wanted)
    for node in nodes:
        with connected(node, f"set the user {wanted.user}") as admin:
            rules = ["on", _fingerprint(wanted), *_rules(admin, live.user, node)]
            _set_user(admin, wanted.user, ["reset", *rules], sorted(rules), node)
            _save(admin, node)


def prove_account(nodes: Sequence[str], uri: str, live_uri: str) -> None:
    """Use a credential on new connections to every node, and to the address of its URI.

    Raises `CredentialUnfit` if it cannot log in, write, read and delete a key, may do what no
    application needs, or has other rules than the live user.
    """
    login, live = login_of(uri), login_of(live_uri)
    for node in nodes:
        with connected(node, f"look at the user {login.user}") as admin:
            rules = _rules(admin, login.user, node)
            if rules != _rules(admin, live.user, node):
                raise CredentialUnfit(
                    f"{login.user} has other rules than {live.user} in Redis at {address_of(node)}"
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
    """Remove a user's passwords, switch it off, end its connections, and verify that it is refused.

    Where the user does not exist or is off already, the node only saves. Raises
    `ConfigurationError` if it is the live one, `StillAccepted` if it can log in afterwards.
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
    """Verify that every node refuses a credential. Raises `StillAccepted` if one lets it in."""
    login = login_of(uri)
    for address in (uri, *_as(login, nodes)):
        try:
            with connected(address, f"let {login.user} in") as own:
                own.ping()
        except AccessDenied:
            continue
        raise StillAccepted(f"Redis at {address_of(address)} still lets {login.user} in")


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
        what=f"Redis at {address_of(node)} changes the user {user}",
    )


def _end_connections(admin: redis.Redis, user: str, node: str) -> None:
    ensure(
        lambda: _ask(admin, "CLIENT KILL", "USER", user),
        lambda: _connections(admin, user) == 0,
        is_unclear,
        what=f"Redis at {address_of(node)} ends the connections of {user}",
    )


def _save(admin: redis.Redis, node: str) -> None:
    # Also where nothing was changed: a killed run may have changed the memory only.
    retry_until_answered(
        admin.acl_save, is_unclear, what=f"Redis at {address_of(node)} saves its users"
    )


def _connections(admin: redis.Redis, user: str) -> int:
    return sum(each["user"] == user for each in admin.client_list())


def _rules(admin: redis.Redis, user: str, node: str) -> list[str]:
    """What a user may do: keys, channels, commands and selectors, without its passwords."""
    line = _line(admin, user)
    if line is None:
        raise ConfigurationError(
            f"Redis at {address_of(node)} has no user {user}",
            hint="ACLs are not replicated: make the user there by hand, then run again.",
        )
    return [rule for rule in line if rule not in ("on", "off", "nopass") and rule[0] != "#"]


def _line(admin: redis.Redis, user: str) -> list[str] | None:
    """The rules of a user as ACL LIST and the ACL file show them; None if there is no such user.

    The default rule is left out: it is shown only for users that were `reset`.
    """
    read = (_RULE.findall(str(line)) for line in admin.acl_list())
    found = next((rules for _, name, *rules in read if name == user), None)
    return None if found is None else [rule for rule in found if rule != BY_DEFAULT]


def _refuse_forbidden(admin: redis.Redis, user: str, node: str, kind: type[DeliveryError]) -> None:
    for command in FORBIDDEN:
        if _ask(admin, "ACL DRYRUN", user, *command) in ("OK", True):
            raise kind(
                f"{user} may run {command[0]} in Redis at {address_of(node)}",
                hint="Remove such rights from the user by hand (ACL SETUSER … -@admin "
                "-@dangerous), then run again.",
            )


def _probe_key(user: str, rules: list[str]) -> str:
    """A key that the user may write, by the first pattern of its rules that allows one."""
    for rule in rules:
        if match := _WRITABLE.fullmatch(rule):
            one_of = re.sub(r"\[\^?(.)[^\]]*\]", r"\1", match[1])
            return one_of.replace("*", PROBE, 1).replace("*", "").replace("?", "_")
    raise CredentialUnfit(f"the Redis user {user} has no key that it may read and write")


def _use(address: str, login: Login, key: str) -> bool:
    """Log in, write, read and delete; False on a replica, which accepts no writes."""
    written = secrets.token_hex(8)
    try:
        with connected(address, f"let {login.user} use it") as own:
            if own.acl_whoami() != login.user:
                raise CredentialUnfit(
                    f"Redis at {address_of(address)} logged {login.user} in as another user"
                )
            try:
                own.set(key, written, ex=PROBE_LIFE_S)
            except redis.ReadOnlyError:
                own.get(key)
                return False
            if own.get(key) != written or own.delete(key) != 1:
                raise CredentialUnfit(
                    f"Redis at {address_of(address)} lost what {login.user} wrote"
                )
    except AccessDenied as error:
        raise CredentialUnfit(str(error)) from None
    return True


def _ask(admin: redis.Redis, *words: str) -> Any:
    return admin.execute_command(*words)  # type: ignore[no-untyped-call]
