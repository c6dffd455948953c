"""Reading a file of which nothing is known: regular, not too large, and never waited for."""

import os
import stat
from pathlib import Path


class UnreadableFileError(Exception):
    """A file cannot be read; the text is the end of a sentence that begins with its path."""


def read_bounded(path: Path, limit: int) -> bytes:
    """Give the bytes of the regular file at `path` (symbolic links are followed).

    A FIFO or a device is opened without waiting and refused, so that no file can stop the server. Raises
    `UnreadableFileError` for anything that is not a readable regular file of at most `limit` bytes.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UnreadableFileError("is not a regular file")
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(limit + 1)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise UnreadableFileError(_reason(error)) from None
    if len(data) > limit:
        raise UnreadableFileError(f"is larger than {limit // 1024} kB")
    return data


def _reason(error: OSError | ValueError) -> str:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return "does not exist"
        case PermissionError():
            return "may not be read by this user"
        case OSError(strerror=str(text)):
            return f"cannot be read: {text}"
        case _:
            return "has a name that no file can have"
