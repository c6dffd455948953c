"""The ACL token to send, and other secrets that are kept in files.

A secret file is read again when it changes. While it cannot be read for a moment, what it held stays in
force: secret managers replace files.
"""

from pathlib import Path
from typing import Final, Protocol

from xds_server.consul.errors import ConsulError, Refused

_MOST: Final = 64 * 1024


class Tokens(Protocol):
    """Gives the token of each query."""

    async def current(self) -> str:
        """Give the token, empty for none. Raises ConsulError."""

    async def after(self, refusal: Refused, token: str) -> str:
        """Look at it again, as Consul refused a query with `token`; give the token to use now.

        Raises ConsulError.
        """

    async def close(self) -> None:
        """Give up what the token stands for."""


class SecretFile:
    """The content of a file, without white space around it. `what` names it in errors."""

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what
        self._seen: tuple[int, int, int] | None = None
        self._text = ""

    def read(self, *, anyway: bool = False) -> str:
        """Give the content; with `anyway` it is read although the file looks unchanged.

        Raises ConsulError if it never was readable, or holds what no header can carry.
        """
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if anyway or seen != self._seen:
                with self._path.open("rb") as file:
                    text = file.read(_MOST).decode().strip()
                self._text = fit_for_a_header(text, self._what)
                self._seen = seen
        except (OSError, UnicodeDecodeError) as error:
            if self._seen is None:
                raise ConsulError(
                    f"the {self._what} file {self._path} cannot be read: check its path and mode."
                ) from error
        return self._text


def fit_for_a_header(text: str, what: str) -> str:
    """Give a secret as it is. Raises ConsulError, without it, if a header cannot carry it."""
    if not (text.isascii() and text.isprintable()):
        raise ConsulError(f"the {what} holds characters that a header cannot carry: set it again.")
    return text


class GivenToken:
    """A token that was given, or the content of a file; an empty file leaves the given one in force."""

    def __init__(self, token: str, file: Path | None) -> None:
        self._token = token
        self._file = SecretFile(file, "Consul token") if file is not None else None

    async def current(self) -> str:
        """Give the token. Raises ConsulError."""
        return self._read(anyway=False)

    async def after(self, refusal: Refused, token: str) -> str:  # noqa: ARG002 - whatever was refused
        """Read the file, whether it looks changed or not. Raises ConsulError."""
        return self._read(anyway=True)

    async def close(self) -> None:
        """Nothing is held."""

    def _read(self, *, anyway: bool) -> str:
        text = self._file.read(anyway=anyway) if self._file is not None else ""
        return text or fit_for_a_header(self._token, "Consul token")
