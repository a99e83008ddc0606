"""Reserve loopback ports: a bound socket where we serve ourselves, a free number elsewhere."""

import errno
import socket
from random import SystemRandom
from threading import Lock

LOOPBACK = "127.0.0.1"
# Below the range from which Linux gives any free port (ip_local_port_range), so that no other
# program gets the port before the one it is for has started.
_CHOSEN_FROM = range(20_000, 32_000)
_TRIES = 1_000

_handed_out: set[int] = set()
_lock = Lock()


def listening_socket(port: int = 0, host: str = LOOPBACK) -> socket.socket:
    """Return a socket that listens on an address of this machine; with port 0 the kernel chooses.

    The socket is never closed in between, so nothing else can take the port. Raises OSError if the
    chosen port is in use.
    """
    # asyncio sets TCP_NODELAY only if the protocol is named; without it some answers take 40 ms
    # longer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def listening_pair(other: str) -> tuple[socket.socket, socket.socket]:
    """Return sockets that listen on the loopback and on `other`, with one port number for both.

    Raises OSError if `other` is no address of this machine, or hardly any port is free there.
    """
    for _ in range(_TRIES):
        first = listening_socket()
        try:
            return first, listening_socket(first.getsockname()[1], other)
        except OSError as failure:
            first.close()
            if failure.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, f"of {_TRIES} ports tried on {other} none is free")


def free_port() -> int:
    """Return a port number that is free now and that this process has not handed out before.

    It is for programs that must bind by themselves. Another process may still take the port first,
    which is rare. Raises OSError if hardly any port is free.
    """
    chance = SystemRandom()
    for _ in range(_TRIES):
        port = chance.choice(_CHOSEN_FROM)
        with _lock:
            if port not in _handed_out and _is_free(port):
                _handed_out.add(port)
                return port
    raise OSError(errno.EADDRINUSE, f"of {_TRIES} ports tried on {LOOPBACK} none is free")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
