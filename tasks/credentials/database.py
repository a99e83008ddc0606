"""The credential of the databases: it alternates between two users, in MongoDB and in Redis.

One version holds both, as `mongodb_uri` and `redis_url`. The administrators' secret holds
`mongodb_uri` and `redis_urls`, one for each node.
"""

import secrets
from dataclasses import replace
from typing import NamedTuple

from delivery.credentials.connection_uri import Login, login_of, other_account, with_login
from delivery.credentials.secret_value import text_member
from delivery.errors import SecretMalformed, StillAccepted
from delivery.rotation.facts import ACCOUNTS, OldCredential, SecretKind, SecretPolicy
from tasks.credentials import mongodb_account, redis_account
from tasks.credentials.credential import VERSION, Credential
from tasks.credentials.secrets_manager import Value, read_current, read_value

MONGODB, REDIS = "mongodb_uri", "redis_url"
PASSWORD_BYTES = 32


class Administrators(NamedTuple):
    """The administrator's URI for MongoDB, and one for each node of Redis."""

    mongodb: str
    redis: list[str]


class DatabaseCredential(Credential):
    """`kanvaro/database`."""

    kind = SecretKind.DATABASE
    keys = frozenset({MONGODB, REDIS, VERSION})

    @property
    def policy(self) -> SecretPolicy:
        waits = self.environment.policy
        return replace(ACCOUNTS, overlap_s=waits.overlap_s, drained_for_s=waits.drained_for_s)

    def check(self, current: str) -> None:
        live, admin = self.value(current), self._administrators()
        for name in (MONGODB, REDIS):
            other_account(login_of(text_member(live, name)).user)
        mongodb_account.check_admin(admin.mongodb, live[MONGODB])
        redis_account.check_nodes(admin.redis, live[REDIS])

    def can_follow(self, value: Value, current: Value) -> bool:
        try:
            return all(
                login_of(text_member(value, name)).user != login_of(text_member(current, name)).user
                for name in (MONGODB, REDIS)
            )
        except SecretMalformed:
            return False

    def make(self, version: str, current: str) -> Value:
        live = self.value(current)
        renewed = {name: _for_the_other(text_member(live, name)) for name in (MONGODB, REDIS)}
        return {**live, **renewed, VERSION: version}

    def set(self, version: str, current: str) -> None:
        live, wanted, admin = self.value(current), self.value(version), self._administrators()
        mongodb_account.set_account(admin.mongodb, live[MONGODB], wanted[MONGODB])
        redis_account.set_account(admin.redis, live[REDIS], wanted[REDIS])

    def prove(self, version: str, current: str) -> None:
        live, new, admin = self.value(current), self.value(version), self._administrators()
        mongodb_account.prove_account(new[MONGODB], live[MONGODB])
        redis_account.prove_account(admin.redis, new[REDIS], live[REDIS])

    def connections(self, old: str) -> int:
        before = read_value(self.environment, self.secret, old)
        if before is None:
            return 0
        admin = self._administrators()
        user = login_of(before[REDIS]).user
        in_mongodb = mongodb_account.count_connections(admin.mongodb, before[MONGODB])
        return in_mongodb + redis_account.count_connections(admin.redis, user)

    def old(self, version: str) -> OldCredential | None:
        before = read_value(self.environment, self.secret, version)
        if before is None:
            return OldCredential.GONE
        admin = self._administrators()
        if mongodb_account.logs_in(before[MONGODB]):
            return OldCredential.WORKS
        try:
            redis_account.prove_refused(admin.redis, before[REDIS])
        except StillAccepted:
            return OldCredential.WORKS
        return OldCredential.REFUSED

    def retire(self, old: str, current: str, *, at_once: bool) -> None:
        before, live, admin = self.value(old), self.value(current), self._administrators()
        mongodb_account.retire_account(
            admin.mongodb, before[MONGODB], live[MONGODB], at_once=at_once
        )
        redis_account.retire_account(admin.redis, before[REDIS], live[REDIS])

    def _administrators(self) -> Administrators:
        name = self.environment.admin_secret
        value = read_current(self.environment, name)
        nodes = value.get("redis_urls")
        if not isinstance(nodes, list) or not nodes or not all(isinstance(n, str) for n in nodes):
            raise SecretMalformed(f"{name} has no list of texts in redis_urls")
        return Administrators(text_member(value, MONGODB), nodes)


def _for_the_other(uri: str) -> str:
    user = other_account(login_of(uri).user)
    return with_login(uri, Login(user, secrets.token_urlsafe(PASSWORD_BYTES)))
