"""Free ports of the loopback interface, for processes that have to be told their port beforehand."""

import os
import secrets
import socket

# Below the range from which the kernel takes the ports of outgoing connections (32768 up, Linux's default):
# one of those could take a port away between the choice and the bind.
_FIRST, _LAST = 20_000, 32_000
_given: set[int] = set()

# Each worker of a test run has ports of its own, or one could take what another was given and not yet bound.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS


def free_port() -> int:
    """Give a port of 127.0.0.1 that nobody listens on now, and that was not given before."""
    while True:
        port = _FIRST + _WORKER + _WORKERS * secrets.randbelow((_LAST - _FIRST) // _WORKERS)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
