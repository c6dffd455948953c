"""The two variants of xDS over a stream: their requests, and what speaks them."""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import grpc
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest
from google.protobuf.message import DecodeError

from xds_server.protocol import DeltaMachine, ProtocolError, SotwMachine
from xds_server.protocol.messages import ForeignNodeError, TooMuchError
from xds_server.protocol.payload import check_payload
from xds_server.protocol.reading import read
from xds_server.transport.ending import RefusedError, refused
from xds_server.transport.stream import Stream

_STATUSES: Final = {
    TooMuchError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ForeignNodeError: grpc.StatusCode.PERMISSION_DENIED,
}
"""How a stream ends whose client breaks the protocol, where it is not INVALID_ARGUMENT."""


def refusal_of(error: ProtocolError) -> RefusedError:
    """Give how a stream ends whose client breaks the protocol."""
    return refused(_STATUSES.get(type(error), grpc.StatusCode.INVALID_ARGUMENT), str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of the two ways to speak xDS over a stream: its name, its requests, and who speaks it."""

    name: str
    request: Any
    machine: type[SotwMachine | DeltaMachine]

    def decode(self, payload: bytes) -> tuple[Node | None, Any]:
        """Give the node and the request that bytes hold.

        Raises RefusedError where they hold none, or too large a one.
        """
        try:
            check_payload(payload, self.request)
            return read(self.request, payload)
        except DecodeError:
            sentence = f"the message is not a {self.request.DESCRIPTOR.name}"
            raise refused(grpc.StatusCode.INVALID_ARGUMENT, sentence) from None
        except ProtocolError as error:
            raise refusal_of(error) from None


SOTW: Final = Variant(name="sotw", request=DiscoveryRequest, machine=SotwMachine)
DELTA: Final = Variant(name="delta", request=DeltaDiscoveryRequest, machine=DeltaMachine)

RequestStream: TypeAlias = Stream[tuple[Node | None, Any]]
"""A stream of requests, each with its node, if it has one."""
