"""File descriptors: as many as the system allows, and a word when they run out.

A stream needs a connection, and a connection needs a descriptor; what a shell or a service manager gives by
default (1,024) is less than `xds.max_streams`. The soft limit is there for programs that use select(2), which
none here does (see systemd's "File Descriptor Limits").
"""

import asyncio
import errno
import logging
import os
import resource
from typing import Final

from xds_server import telemetry
from xds_server.telemetry import Event, log

_EVERY: Final = 5.0
"""Seconds between two looks."""

_SCARCE: Final = 0.9
"""The share of the limit from which on descriptors are scarce: new connections are about to wait."""


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one; give it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        return soft
    return hard


class Descriptors:
    """Looks now and then how many descriptors are open, and tells of scarcity and its end once each."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._scarce = False

    async def run(self) -> None:
        """Look for ever."""
        telemetry.FILES_LIMIT.set(self._limit)
        while True:
            self.look(_open())
            await asyncio.sleep(_EVERY)

    def look(self, count: int | None) -> None:
        """Note how many are open; None where that could not be seen for want of a descriptor."""
        count = self._limit if count is None else count
        telemetry.FILES_OPEN.set(count)
        scarce = count >= _SCARCE * self._limit
        if scarce != self._scarce:
            level = logging.ERROR if scarce else logging.INFO
            log(Event.FILES_SCARCE if scarce else Event.FILES_ENOUGH, level, open=count, limit=self._limit)
        self._scarce = scarce


def _open() -> int | None:
    """Count the open descriptors of this process (proc(5)); without /proc there is nothing to count."""
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no Path for each of thousands
    except OSError as error:
        return None if error.errno == errno.EMFILE else 0
