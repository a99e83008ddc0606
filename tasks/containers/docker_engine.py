"""The Docker engine of an environment, and what its errors mean."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import docker
from docker.errors import DockerException
from requests.exceptions import ConnectionError as RefusedConnection
from requests.exceptions import Timeout
from urllib3.exceptions import HTTPError

from blocks.environment import Environment
from delivery.errors import EngineUnavailable


@contextmanager
def engine(environment: Environment) -> Iterator[docker.DockerClient]:
    """Yield a client of the environment's engine, and close it at the end.

    Raises `EngineUnavailable` if it does not answer, now or in the middle of the work.
    """
    try:
        client = environment.docker.get_client()
    except DockerException as error:
        raise EngineUnavailable(f"no Docker engine answers: {_first_line(error)}") from None
    try:
        yield client
    except (RefusedConnection, Timeout, HTTPError) as error:
        raise EngineUnavailable(f"the Docker engine went away: {_first_line(error)}") from None
    finally:
        client.close()


@contextmanager
def deadline(client: docker.DockerClient, seconds: float) -> Iterator[Callable[[], bool]]:
    """Close the client after `seconds`: the stream of a build or pull has no time-out of its own.

    Yields a function that says whether the time is over.
    """
    timer = threading.Timer(seconds, client.close)
    timer.daemon = True
    timer.start()
    try:
        yield lambda: not timer.is_alive()
    finally:
        timer.cancel()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
