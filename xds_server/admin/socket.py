"""The unix socket of the admin server: for its owner alone, and never taken away from a server that runs."""

import os
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BACKLOG: Final = 32
_SECONDS: Final = 1.0
_LONGEST_PATH: Final = 107
"""Bytes of the path of a unix socket (unix(7), `sun_path`)."""

_CREDENTIALS: Final = struct.Struct("3i")
"""struct ucred: pid, uid, gid (unix(7), SO_PEERCRED)."""


class SocketError(Exception):
    """The socket cannot be opened; the sentence says why."""


@dataclass(frozen=True, slots=True)
class AdminSocket:
    """A socket that listens, and the file it is reached by."""

    path: Path
    listening: socket.socket
    inode: int

    def remove(self) -> None:
        """Take the file away, unless another server has put its own there meanwhile."""
        try:
            if os.lstat(self.path).st_ino == self.inode:
                self.path.unlink()
        except OSError:
            # Whoever removed it has done what is wanted.
            return


def listen(path: Path) -> AdminSocket:
    """Listen at a path with mode 0600. A socket that nobody listens on is replaced.

    Raises SocketError where something else is there, a server that runs, or the path cannot be used.
    """
    _check(path)
    # What does not listen yet refuses everybody, and the rename puts it in place as one step.
    fresh = path.with_name(f".{os.getpid()}")
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        fresh.unlink(missing_ok=True)
        made.bind(str(fresh))
        fresh.chmod(0o600)
        made.listen(_BACKLOG)
        made.setblocking(False)
        fresh.replace(path)
        return AdminSocket(path, made, os.lstat(path).st_ino)
    except OSError as error:
        made.close()
        fresh.unlink(missing_ok=True)
        raise SocketError(f"{path} cannot be used ({error.strerror or error}); set admin.socket") from None


def peer(connected: socket.socket) -> str:
    """Say who is at the other end of a unix socket: `uid 1000 pid 4242`."""
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return f"uid {uid} pid {pid}"


def _check(path: Path) -> None:
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise SocketError(f"{path} cannot be used (longer than {_LONGEST_PATH} bytes); set admin.socket")
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise SocketError(f"{path} cannot be used ({error.strerror}); set admin.socket") from None
    if not stat.S_ISSOCK(found.st_mode):
        raise SocketError(f"{path} is there and is not a socket; remove it, or set admin.socket")
    if _is_alive(path):
        raise SocketError(f"another server listens at {path}; set admin.socket to a path of this one's own")


def _is_alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_SECONDS)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            # Too busy to answer, or not ours to ask: in doubt it is somebody's.
            return True
    return True
