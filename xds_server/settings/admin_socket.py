"""Where the unix socket of the admin server is if nobody says: the one rule for the server and the commands.

systemd gives a service a directory of its own (systemd.exec(5), `RuntimeDirectory=`) and a user another one
(the XDG Base Directory Specification, `XDG_RUNTIME_DIR`); without either it is a directory that is made, and
has to be ours alone.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

AUTO: Final = "auto"
OFF: Final = "off"

LONGEST_PATH: Final = 107
"""Bytes of the path of a unix socket (unix(7), `sun_path`)."""

_OF_THE_UNIT: Final = Path("/run/xds-server/admin.sock")
"""Where it is under systemd with `RuntimeDirectory=xds-server`; a command runs outside of the unit."""

_TEMPORARY: Final = Path("/tmp")  # noqa: S108 - the directory made in it is checked by `private_directory`


def socket_of(port: int, environ: Mapping[str, str], uid: int) -> Path:
    """Give where a server whose admin port is `port` has its socket."""
    return _places(port, environ, uid)[0]


def sockets_to_try(port: int, environ: Mapping[str, str], uid: int) -> tuple[Path, ...]:
    """Give where a command looks for the socket of a server on this machine, the likeliest first.

    It may be run by another user than the server, and outside of its unit.
    """
    return (*_places(port, environ, uid), _OF_THE_UNIT)


def _places(port: int, environ: Mapping[str, str], uid: int) -> tuple[Path, ...]:
    found = []
    # A unit may have several directories; the first is its main one.
    if of_unit := environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]:
        found.append(Path(of_unit) / "admin.sock")
    if of_user := environ.get("XDG_RUNTIME_DIR"):
        found.append(Path(of_user) / f"xds-server-{port}.sock")
    return (*found, _TEMPORARY / f"xds-server-{uid}" / f"{port}.sock")


def private_directory(path: Path, uid: int) -> str:
    """Make the directory if it is below /tmp and not there; say what is wrong with it, or nothing.

    Anyone may make names in /tmp, so a directory there has to be ours, and closed to others.
    """
    if path.parent != _TEMPORARY:
        return ""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = os.lstat(path)
    except OSError as error:
        return f"the directory {path} cannot be made ({error.strerror})"
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) & 0o077:
        return f"{path} is not a directory of this user's alone; remove it, or set admin.socket"
    return ""
