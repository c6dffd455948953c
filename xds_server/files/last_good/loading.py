"""What is on disk, if it may be used."""

from dataclasses import dataclass

from xds_server.files.last_good.body import LastGood, decode
from xds_server.files.last_good.envelope import RefusedError, unpack
from xds_server.files.last_good.source import SourceId
from xds_server.files.last_good.told import clock

_DAY = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A state, and when it was last known to be what its source says, in Unix seconds."""

    at: float
    state: LastGood


def load(data: bytes, source: SourceId, max_age: float, now: float) -> Loaded:
    """Read a file of `source`, at most `max_age` seconds old at `now` (Unix seconds). Raises RefusedError.

    One of the future is used: a machine without a battery begins in 1970.
    """
    envelope = unpack(data)
    age = now - envelope.at
    if age > max_age:
        raise RefusedError(
            f"is of {clock(envelope.at)}, {age / _DAY:.1f} days ago, and state_max_age allows "
            f"{max_age / _DAY:.1f}"
        )
    if not source.may_be(envelope.source):
        raise RefusedError(f"is of {envelope.source}, and this server reads {source}")
    return Loaded(at=envelope.at, state=decode(envelope.body))
