"""What is told of the file: in the log, the metrics, `/state`, and as a source of the catalog."""

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from xds_server import telemetry
from xds_server.model.kept_file import KeptFile
from xds_server.model.standing import Standing, State
from xds_server.runtime.latest import Latest
from xds_server.telemetry import Event, log

LAST_GOOD: Final = "last good"
"""The source that `/state` names while what is served comes from disk, or what is there is not used."""


class Told:
    """Tells each thing once. `cell` holds the standings of all sources, `file` what `/state` says of it."""

    def __init__(self, path: Path, cell: Latest[tuple[Standing, ...]], file: Latest[KeptFile]) -> None:
        self.file = file
        self.file.publish(KeptFile(path=str(path)))
        self.failing = False
        self._path = path
        self._cell = cell
        self._began = time.time()
        self._said_kept = False

    @property
    def standings(self) -> tuple[Standing, ...]:
        """Those of the other sources."""
        return tuple(one for one in self._cell.value or () if one.source != LAST_GOOD)

    @property
    def at(self) -> float:
        """When what is on disk was last known to be true; 0 for nothing."""
        return self.file.value.at if self.file.value else 0.0

    def loaded(self, at: float, services: int, *, pinned: bool) -> None:
        """Tell that the file was read."""
        telemetry.LAST_GOOD_AT.set(at)
        self._now(at=at, services=services)
        log(Event.LAST_GOOD_LOADED, file=self._path, at=clock(at), services=services, pinned=pinned)

    def refused(self, reason: str, aside: Path | None) -> None:
        """Tell that the file is not used, and where it was set aside."""
        self._now(refused=reason)
        log(
            Event.LAST_GOOD_REFUSED,
            logging.WARNING,
            file=self._path,
            error=f"it {reason}",
            set_aside=aside or "",
        )

    def kept(self, at: float, services: int, size: int) -> None:
        """Tell that the file was written, `size` bytes."""
        telemetry.LAST_GOOD_WRITES.labels("written").inc()
        telemetry.LAST_GOOD_AT.set(at)
        telemetry.LAST_GOOD_BYTES.set(size)
        self._now(at=at, services=services, error="", refused="")
        if self.failing or not self._said_kept:
            log(Event.LAST_GOOD_KEPT, file=self._path, services=services, bytes=size)
        self.failing, self._said_kept = False, True

    def not_kept(self, reason: str) -> None:
        """Tell that the file could not be written."""
        telemetry.LAST_GOOD_WRITES.labels("failed").inc()
        self._now(error=reason)
        if not self.failing:
            log(Event.LAST_GOOD_NOT_KEPT, logging.ERROR, file=self._path, error=reason)
        self.failing = True

    def stand(self, *, serves: bool, waits: bool) -> None:
        """Be one of the sources while the file `serves`, or is refused and the server `waits` for another."""
        reason = ""
        refused = self.file.value.refused if self.file.value else ""
        if serves:
            reason = f"the catalog of {clock(self.at)} is served from {self._path} until its source answers"
        elif waits and refused:
            reason = f"{self._path} is not used: it {refused}"
        own = Standing(source=LAST_GOOD, state=State.STALE, reason=reason, since=self._began)
        all_of_them = (*self.standings, own) if reason else self.standings
        self._cell.publish(tuple(sorted(all_of_them, key=lambda one: one.source)))

    def _now(self, **given: Any) -> None:
        held = self.file.value or KeptFile(path=str(self._path))
        self.file.publish(replace(held, **given))


def clock(at: float) -> str:
    """Give a time in Unix seconds as people write it."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    except (ValueError, OverflowError, OSError):
        return "a time that cannot be"
