"""Who may open a stream: so many at once, so many from one place, and so many new ones a second."""

import asyncio
import time
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

from xds_server import telemetry

_LONGEST_WAIT: Final = 5.0
"""Seconds that a new stream may wait for its turn: clients give up on a resource after 15 s (P-107)."""


class Reason(StrEnum):
    """Why a stream is not let in; the label of a metric."""

    TOTAL = "total"
    ADDRESS = "address"
    IDENTITY = "identity"
    RATE = "rate"


class CrowdedError(Exception):
    """A stream cannot be opened now; the text is a sentence for the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Streams that may be open at once: all, those of one peer address, those of one certificate's names.

    The defaults of the last two are half of the first: who has one address or one certificate can never take
    every slot, while a fleet behind one address (NAT, a load balancer) or with one certificate has room.
    """

    streams: int = 10_000
    per_address: int = 5_000
    per_identity: int = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a stream comes from: its peer's address, and the names of its certificate; empty for neither.

    What a node says of itself is no origin: it is a claim, so a cap on it would let anybody shut out anybody.
    """

    address: str = ""
    identity: frozenset[str] = frozenset()


class Admission:
    """Counts the open streams, and paces new ones.

    As many are open at once as `caps` says (P-112), so that a server that is full says so and a load balancer
    can move the client. New ones are let in at `rate` a second after a burst of as many (P-115), so that a
    herd of reconnecting clients leaves time for the streams that are open; nothing else is paced.
    """

    def __init__(self, *, caps: Caps, rate: float) -> None:
        self._caps = caps
        self._rate = rate
        self._open = 0
        self._from: Counter[Hashable] = Counter()
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._tokens = rate
        self._counted_at = time.monotonic()

    @property
    def open(self) -> int:
        """How many streams hold a slot."""
        return self._open

    @contextmanager
    def slot(self, origin: Origin) -> Iterator[None]:
        """Hold a slot for as long as the context is open. Raises CrowdedError where none is free."""
        self._check(origin)
        places = [place for place in (origin.address, origin.identity) if place]
        self._open += 1
        self._from.update(places)
        try:
            yield
        finally:
            self._open -= 1
            self._from.subtract(places)
            for place in places:
                if not self._from[place]:
                    del self._from[place]

    def _check(self, origin: Origin) -> None:
        caps = self._caps
        # Whom it counts, how many there are, how many there may be, the setting.
        rules = (
            (Reason.TOTAL, self._open, caps.streams, "xds.max_streams"),
            (
                Reason.ADDRESS,
                self._from[origin.address],
                caps.per_address,
                "xds.max_streams_per_address",
            ),
            (
                Reason.IDENTITY,
                self._from[origin.identity],
                caps.per_identity,
                "xds.max_streams_per_identity",
            ),
        )
        for reason, count, most, setting in rules:
            if count >= most:
                raise _crowded(reason, f"{_TOO_MANY[reason].format(most)}, or raise {setting}")

    async def turn(self) -> None:
        """Wait until a new stream may go on; who is cancelled while it waits takes no turn of others.

        Raises CrowdedError where more wait than can be let in within 5 seconds.
        """
        if self._waiting >= self._rate * _LONGEST_WAIT:
            raise _crowded(
                Reason.RATE, "too many xDS streams are being opened at once; try again in a few seconds"
            )
        self._waiting += 1
        try:
            # The lock is fair: turns are taken in the order in which streams came.
            async with self._turn:
                missing = 1 - self._refilled()
                if missing > 0:
                    await asyncio.sleep(missing / self._rate)
                    self._refilled()
                self._tokens -= 1
        finally:
            self._waiting -= 1

    def _refilled(self) -> float:
        now = time.monotonic()
        self._tokens = min(self._rate, self._tokens + (now - self._counted_at) * self._rate)
        self._counted_at = now
        return self._tokens


_TOO_MANY: Final = {
    Reason.TOTAL: "too many xDS streams: this server serves {}; try another server",
    Reason.ADDRESS: "too many xDS streams from this address: {} may be open; close some",
    Reason.IDENTITY: "too many xDS streams with this certificate's names: {} may be open; close some",
}


def _crowded(reason: Reason, sentence: str) -> CrowdedError:
    telemetry.STREAMS_NOT_ADMITTED.labels(reason.value).inc()
    return CrowdedError(sentence)


def address_of(peer: str) -> str:
    """Give the address in a peer as gRPC writes it (`ipv4:10.0.0.1:4711`); empty for a unix socket."""
    scheme, _, rest = peer.partition(":")
    return unquote(rest.rpartition(":")[0]) if scheme in ("ipv4", "ipv6") else ""
