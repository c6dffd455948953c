"""How much a client may ask for on one stream (P-117).

Generous for any Envoy there is, and small beside a server's memory: what one client sends must not hurt
another. A stream that asks for more is ended with a sentence that names the limit.
"""

from dataclasses import dataclass
from typing import Final

from xds_server.protocol.messages import ProtocolError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Names of one type, and the characters of one name and of all names of one type."""

    names: int = 100_000
    name_length: int = 2_048
    characters: int = 16 * 1024 * 1024


LIMITS: Final = Limits()


def check_names(short: str, names: set[str], limits: Limits = LIMITS) -> None:
    """Raise ProtocolError where a subscription to a type is larger than a client's may be."""
    if len(names) > limits.names:
        raise ProtocolError(f"the stream subscribes to more than {limits.names} names of {short}")
    longest = max(map(len, names), default=0)
    if longest > limits.name_length:
        raise ProtocolError(f"a name of {short} is longer than {limits.name_length} characters")
    if longest * len(names) > limits.characters and sum(map(len, names)) > limits.characters:
        raise ProtocolError(f"the names of {short} have more than {limits.characters} characters together")
