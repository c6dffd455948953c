"""How fast one client may talk: whoever talks faster is read more slowly, and who goes on is ended (P-122).

Nothing an Envoy does comes near: it acknowledges each response once, and the pushes of a type wait for that.
Only the first requests of many virtual hosts come in a burst, and a burst is taken.
"""

from dataclasses import dataclass

import grpc

from xds_server.transport.ending import End


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowLimits:
    """Requests that may come at once, and a second from then on; seconds for which more may be tried."""

    burst: int = 2_000
    rate: float = 100.0
    patience: float = 60.0


class Flow:
    """Counts the requests of one client; times are seconds of a monotonic clock."""

    __slots__ = ("_counted_at", "_limits", "_slowed_at", "_tokens")

    def __init__(self, limits: FlowLimits, now: float) -> None:
        self._limits = limits
        self._tokens = float(limits.burst)
        self._counted_at = now
        self._slowed_at: float | None = None

    def take(self, now: float) -> float:
        """Count a request; give for how many seconds the next one is not to be read."""
        limits = self._limits
        self._tokens = min(limits.burst, self._tokens + (now - self._counted_at) * limits.rate)
        self._counted_at = now
        if self._tokens > limits.burst / 2:
            self._slowed_at = None
        # Who is not held back, although it should be, owes no more than one.
        self._tokens = max(-1.0, self._tokens - 1)
        if self._tokens >= 0:
            return 0.0
        if self._slowed_at is None:
            self._slowed_at = now
        return -self._tokens / limits.rate

    def floods(self, now: float) -> bool:
        """Tell whether the client went on for longer than it may."""
        return self._slowed_at is not None and now - self._slowed_at > self._limits.patience


def flooded(limits: FlowLimits) -> End:
    """Give the end of a stream whose client does not keep to the limits."""
    sentence = (
        f"the client sent more than {limits.rate:g} requests a second for {limits.patience:g} s; "
        f"let it wait for answers before it asks again"
    )
    return End(status=grpc.StatusCode.RESOURCE_EXHAUSTED, sentence=sentence)
