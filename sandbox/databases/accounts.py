"""Define the database accounts of the deployed application: an administrator's and its own."""

import hashlib
import io
import secrets
import tarfile
from dataclasses import dataclass, field

import pymongo

from sandbox.databases.service_images import REDIS_USER

ADMIN = "admin"
APPLICATION = "kanvaro_a"  # one of a pair: a rotation switches to kanvaro_b and back
DATABASE = "kanvaro"

APPLICATION_RULES = "~kanvaro:* &* +@all -@admin -@dangerous"

FOLDER = "/data"  # a volume of Redis' images, so that the file of ACL SAVE survives a restart
_ACL_NAME = "users.acl"


def _generated() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Passwords:
    """One password for each account, made at every start; both databases share them."""

    admin: str = field(default_factory=_generated, repr=False)
    application: str = field(default_factory=_generated, repr=False)


@dataclass(frozen=True)
class Start:
    """How a service must start to have accounts, in addition to its image.

    `files` is a tar archive to unpack in the folder `/data`.
    """

    environment: dict[str, str] = field(default_factory=dict, repr=False)
    command: tuple[str, ...] = ()
    health_command: tuple[str, ...] = ()
    files: bytes = field(default=b"", repr=False)


def starts(passwords: Passwords) -> dict[str, Start]:
    """Return how each service starts; the same for the real images and the stand-ins."""
    return {
        # This creates the administrator; `make_mongodb_account` creates the application's account.
        "mongodb": Start(
            environment={
                "MONGO_INITDB_ROOT_USERNAME": ADMIN,
                "MONGO_INITDB_ROOT_PASSWORD": passwords.admin,
            },
        ),
        "redis": Start(
            command=("redis-server", "--aclfile", f"{FOLDER}/{_ACL_NAME}"),
            # Redis refuses a client without login; that refusal proves that it is up and has
            # accounts.
            health_command=("CMD-SHELL", "redis-cli ping 2>&1 | grep -q ^NOAUTH"),
            files=_archive(_ACL_NAME, _acl(passwords)),
        ),
    }


def make_mongodb_account(admin_uri: str, password: str) -> None:
    """Create the application's account, which may only read and write its own database."""
    with pymongo.MongoClient[dict[str, object]](admin_uri) as client:
        client.admin.command(
            "createUser",
            APPLICATION,
            pwd=password,
            roles=[{"role": "readWrite", "db": DATABASE}],
            writeConcern={"w": "majority"},
        )


def _acl(passwords: Passwords) -> str:
    """Return the file that Redis reads at start and writes at ACL SAVE, with password digests."""
    return (
        "user default off\n"
        f"user {ADMIN} on #{_digest(passwords.admin)} ~* &* +@all\n"
        f"user {APPLICATION} on #{_digest(passwords.application)} {APPLICATION_RULES}\n"
    )


def _archive(name: str, text: str) -> bytes:
    content = text.encode()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.uid, entry.gid = len(content), 0o600, REDIS_USER, REDIS_USER
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as writer:
        writer.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()
