"""Open connections to MongoDB that have logged in, and translate their failures.

A message quotes neither a URI nor the driver's text, since either may hold a password.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient
from pymongo.errors import ConfigurationError as BadUri
from pymongo.errors import (
    ConnectionFailure,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)
from pymongo.uri_parser import parse_uri

from delivery.credentials.connection_uri import login_of, with_login
from delivery.errors import AccessDenied, ConfigurationError, Unreachable

ANSWER_S = 10.0
NOT_AUTHORIZED, WRONG_LOGIN = 13, 18

Document = dict[str, Any]
Client = MongoClient[Document]


@contextmanager
def connected(uri: str, doing: str) -> Iterator[Client]:
    """A new client that has logged in; its failures are raised as errors that quote nothing.

    Raises `AccessDenied`, `Unreachable` or `ConfigurationError`.
    """
    try:
        with _open(with_login(uri, login_of(uri))) as client:
            client.admin.command("ping")
            yield client
    except WriteConcernError:
        raise Unreachable(
            f"MongoDB did not {doing}: no majority of its nodes confirmed it"
        ) from None
    except OperationFailure as error:
        code = (error.details or {}).get("codeName", f"code {error.code}")
        if error.code in (NOT_AUTHORIZED, WRONG_LOGIN):
            raise AccessDenied(f"MongoDB refused to {doing}: {code}") from None
        raise ConfigurationError(f"MongoDB could not {doing}: {code}") from None
    except ConnectionFailure as error:
        raise Unreachable(f"MongoDB did not {doing}: {type(error).__name__}") from None
    except (BadUri, ValueError):
        raise ConfigurationError(f"MongoDB cannot {doing}: its URI is not understood") from None
    except PyMongoError as error:
        raise ConfigurationError(f"MongoDB could not {doing}: {type(error).__name__}") from None


def nodes_of(admin: Client, admin_uri: str) -> Iterator[Client]:
    """A client for each node, since a node lists only its own connections.

    Raises `ConfigurationError` for a sharded cluster, whose connections cannot be counted so.
    """
    if admin.is_mongos:
        raise ConfigurationError(
            "this MongoDB is a sharded cluster, whose connections cannot be counted by node",
            hint="Rotate by hand, as docs/rotation.md says. Nothing was changed.",
        )
    if len(admin.nodes) == 1:
        yield admin
        return
    login, options = login_of(admin_uri), parse_uri(admin_uri)["options"]
    kept = {name: option for name, option in options.items() if name.startswith(("tls", "authM"))}
    for host, port in sorted(admin.nodes):
        with _open(
            host,
            port=port,
            directConnection=True,
            username=login.user,
            password=login.password,
            authSource=login_database(admin_uri),
            **kept,
        ) as node:
            yield node


def _open(host: str, **options: Any) -> Client:
    milliseconds = int(ANSWER_S * 1000)
    return MongoClient(
        host,
        appname="kanvaro-delivery",
        serverSelectionTimeoutMS=milliseconds // 2,
        connectTimeoutMS=milliseconds // 2,
        socketTimeoutMS=2 * milliseconds,
        **options,
    )


def is_unclear(error: Exception) -> bool:
    """Whether a change may have been carried out although no answer came."""
    return isinstance(error, ConnectionFailure)


def login_database(uri: str) -> str:
    """The database that a URI logs in against."""
    parsed = parse_uri(uri)
    return str(parsed["options"].get("authSource") or parsed["database"] or "admin")
