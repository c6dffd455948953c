"""The directory with the file: read it with care, replace it whole, and let one server at a time write it."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from xds_server.files.last_good.envelope import LARGEST_FILE, RefusedError

NAME: Final = "last-good"

_OURS: Final = os.O_CLOEXEC | os.O_NOFOLLOW
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class Store:
    """The file `last-good` in `directory`. Nothing here may run on the event loop: disks can hang."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        self._directory = directory
        self._lock: int | None = None

    def claim(self) -> None:
        """Make the directory if need be, and become its one writer; once that is done it stays so.

        Raises OSError, BlockingIOError of them if another server is.
        """
        if self._lock is not None:
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | _OURS, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise
        self._lock = lock

    def close(self) -> None:
        """Let another server write."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def read(self) -> bytes | None:
        """Give what the file holds, None if there is none. Raises RefusedError."""
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | _OURS)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise RefusedError("is a symbolic link; xds-server reads only a file of its own") from None
            raise RefusedError(f"cannot be opened: {error.strerror}") from None
        try:
            _check(os.fstat(file))
            with open(file, "rb", closefd=False) as opened:
                data = opened.read(LARGEST_FILE + 1)
        except OSError as error:
            raise RefusedError(f"cannot be read: {error.strerror}") from None
        finally:
            os.close(file)
        if len(data) > LARGEST_FILE:
            raise RefusedError(_TOO_LARGE)
        return data

    def write(self, data: bytes) -> None:
        """Replace the file as one step that outlasts the loss of power. Raises OSError."""
        fresh = self._directory / f"{NAME}.new"
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        try:
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OURS, 0o600)
            with open(file, "wb") as opened:  # noqa: PTH123 - a descriptor, no path
                opened.write(data)
                opened.flush()
                os.fsync(file)
            fresh.replace(self.path)
        except OSError:
            # On a full disk, what was written of it is in the way of everybody.
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
        with self._opened() as directory:
            os.fsync(directory)

    def set_aside(self) -> Path | None:
        """Move a file that is not used out of the way of the next one; give where it is, None if it stays.

        It takes the place of the one that was set aside before. Only the one writer may do so.
        """
        if self._lock is None:
            return None
        aside = self._directory / f"{NAME}.refused"
        try:
            self.path.replace(aside)
        except OSError:
            return None
        return aside

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield directory
        finally:
            os.close(directory)


_TOO_LARGE: Final = f"is larger than {LARGEST_FILE // 1024**2} MiB"


def _check(about: os.stat_result) -> None:
    """Raise RefusedError for what is no file that only we can have written."""
    if not stat.S_ISREG(about.st_mode):
        raise RefusedError("is no plain file")
    if about.st_uid != os.geteuid():
        raise RefusedError(f"belongs to user {about.st_uid}, and xds-server runs as {os.geteuid()}")
    if about.st_mode & _OTHERS_MAY_WRITE:
        raise RefusedError("may be written by others; its mode has to be 0600")
    if about.st_size > LARGEST_FILE:
        raise RefusedError(_TOO_LARGE)
