"""The file with the last good state, as `/state` tells of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """`at` is when the `services` it holds were last known to be true, in Unix seconds, 0 for nothing.

    `refused` says why what was there at the start is not used, `error` why it cannot be written; both go on
    after the name of the file, and are empty if all is well.
    """

    path: str
    at: float = 0.0
    services: int = 0
    refused: str = ""
    error: str = ""
