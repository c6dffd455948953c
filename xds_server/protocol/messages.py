"""What goes in and out of a protocol machine besides snapshots."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from xds_server.model.types import TypeUrl
from xds_server.snapshot import Resource

MAX_ERROR_TEXT: Final = 1000
"""How much of a client's error text is kept; Envoy has sent more than 8 kB (P-031)."""


class ProtocolError(Exception):
    """The client broke the protocol; its stream ends with INVALID_ARGUMENT and this sentence."""


class TooMuchError(ProtocolError):
    """The client asks for more than one may; its stream ends with RESOURCE_EXHAUSTED and this sentence."""


class ForeignNodeError(ProtocolError):
    """The client calls itself another than before; its stream ends with PERMISSION_DENIED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One discovery response, encoded; `payload` may hold private keys and stays out of the repr.

    `type` is a type URL: one of TypeUrl, or one this server knows nothing of (P-011).
    """

    type: str
    version: str
    nonce: str
    payload: bytes = field(repr=False)


class Answer(NamedTuple):
    """What a client made of resources: it has them (an ACK, or what it brought along), or rejects them.

    `error` is the client's text, cut, or None where it accepted. Of what it rejects, `suspects` is what it
    had not accepted before, `keeps` what of that it may have an older version of, and `named` what of it the
    text names; `overtaken` tells of something beside them that may be at fault, and went out in another
    version since, or left. `claims` are the versions it says it has as its stream begins, by name; a SotW
    client says it of all there is, which is `*`. `version` is that of the response, empty in delta and where
    the response is not known. `at` is a Unix time in seconds.
    """

    type: TypeUrl
    nonce: str
    version: str
    resources: Mapping[str, Resource]
    at: float
    error: str | None = None
    suspects: frozenset[str] = frozenset()
    overtaken: bool = False
    keeps: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    claims: Mapping[str, str] = MappingProxyType({})

    @property
    def rejected(self) -> bool:
        """Whether this is a NACK."""
        return self.error is not None
