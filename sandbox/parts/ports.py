"""Free loopback ports: a socket that is already bound where we serve, a number where we cannot."""

import errno
import socket
from random import SystemRandom
from threading import Lock

LOOPBACK = "127.0.0.1"
# Below what Linux gives to whoever asks for any port (ip_local_port_range), so that nobody is given
# it before the program that it is for has started.
_CHOSEN_FROM = range(20_000, 32_000)
_TRIES = 1_000

_handed_out: set[int] = set()
_lock = Lock()


def listening_socket(port: int = 0, host: str = LOOPBACK) -> socket.socket:
    """Return a socket that listens on an address of this machine; port 0 lets the kernel choose.

    The socket is never closed in between, so nobody can take the port first.
    Raises OSError when a chosen port is in use.
    """
    # asyncio sends at once (TCP_NODELAY) only where the protocol is named; else some answers take
    # 40 ms longer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def free_port() -> int:
    """Return a port number that is free now and was not handed out by this process before.

    For programs that insist on binding by themselves. Another process may still choose the same
    one first, which is rare. Raises OSError where hardly any port is free.
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
