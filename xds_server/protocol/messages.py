"""What goes in and out of a protocol machine besides snapshots."""

from dataclasses import dataclass, field
from typing import Final

from xds_server.model.types import TypeUrl

MAX_ERROR_TEXT: Final = 1000
"""How much of a client's error text is kept; Envoy has sent more than 8 kB (P-031)."""


class ProtocolError(Exception):
    """The client broke the protocol; its stream ends with INVALID_ARGUMENT and this sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One discovery response, encoded; `payload` may hold private keys and stays out of the repr."""

    type: TypeUrl
    version: str
    nonce: str
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nack:
    """A response the client rejected. `version` is the rejected one, empty where it is not known."""

    type: TypeUrl
    version: str
    names: tuple[str, ...]
    error: str
