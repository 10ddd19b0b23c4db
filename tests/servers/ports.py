"""Loopback ports for servers."""

import random
import socket

# Below the range from which kernels take the source ports of outgoing connections: a port from
# that range could be taken by a client while its server is down for a restart.
_FIRST, _LAST = 15_000, 31_999

_random = random.SystemRandom()


def free_port() -> int:
    """A loopback TCP port that nobody listens on at this moment."""
    for _ in range(200):
        port = _random.randint(_FIRST, _LAST)
        with socket.socket() as candidate:
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free loopback port between {_FIRST} and {_LAST}")
