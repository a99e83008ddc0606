"""Open connections to Redis without retries, and translate their failures.

A message quotes neither a URI nor the server's text, since either may hold a password.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from delivery.errors import AccessDenied, ConfigurationError, Unreachable

ANSWER_S = 5.0
DEFAULT_PORT = 6379

_UNANSWERED = (redis.ConnectionError, redis.TimeoutError)


@contextmanager
def connected(uri: str, doing: str) -> Iterator[redis.Redis]:
    """A new client without retries; its failures are raised as errors that quote nothing.

    Raises `AccessDenied`, `Unreachable` or `ConfigurationError`.
    """
    address = address_of(uri)
    try:
        with closing(_client(uri)) as client:
            yield client
    except redis.AuthenticationError:
        raise AccessDenied(
            f"Redis at {address} refused to {doing}: wrong user or password"
        ) from None
    except redis.exceptions.NoPermissionError:
        raise AccessDenied(f"Redis at {address} refused to {doing}: not permitted") from None
    except _UNANSWERED as error:
        name = type(error).__name__
        raise Unreachable(f"Redis at {address} did not {doing}: {name}") from None
    except ValueError:
        raise ConfigurationError(f"Redis cannot {doing}: its URI is not understood") from None
    except redis.RedisError as error:
        name = type(error).__name__
        raise ConfigurationError(f"Redis at {address} could not {doing}: {name}") from None


def _client(uri: str) -> redis.Redis:
    # redis-py would repeat a refused login for seconds, and RESP3 would log in by HELLO.
    return redis.Redis.from_url(
        uri,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=ANSWER_S,
        socket_connect_timeout=ANSWER_S,
        decode_responses=True,
    )


def address_of(uri: str) -> str:
    """Host and port, for messages."""
    try:
        parts = urlsplit(uri)
        return f"{parts.hostname}:{parts.port or DEFAULT_PORT}"
    except ValueError:
        return "an address that is not understood"


def is_unclear(error: Exception) -> bool:
    """Whether a change may have been carried out although no answer came."""
    return isinstance(error, _UNANSWERED) and not isinstance(error, redis.AuthenticationError)
