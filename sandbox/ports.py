"""Free loopback ports: a socket that is already bound where we serve, a number where we cannot."""

import socket
from threading import Lock

LOOPBACK = "127.0.0.1"

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

    For programs that insist on binding by themselves. Another process may still take the port
    first: start such a program in a loop over new ports.
    """
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((LOOPBACK, 0))
            port: int = probe.getsockname()[1]
        with _lock:
            if port not in _handed_out:
                _handed_out.add(port)
                return port
