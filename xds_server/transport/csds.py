"""The client status discovery service, for the whole fleet: who has what, and who rejected it (P-120).

Envoy API, `envoy/service/status/v3/csds.proto`, from a management server's point of view. One ClientConfig is
one connected client: all streams of one node over one connection.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

import grpc
from envoy.admin.v3.config_dump_shared_pb2 import ClientResourceStatus, UpdateFailureState
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.status.v3.csds_pb2 import (
    ClientConfig,
    ClientStatusRequest,
    ClientStatusResponse,
    ConfigStatus,
)
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from xds_server.model.types import TypeUrl
from xds_server.protocol import matching
from xds_server.protocol.ledger import ResourceStatus, State
from xds_server.protocol.messages import ProtocolError
from xds_server.protocol.payload import check_payload
from xds_server.runtime.fleet import Fleet, Session
from xds_server.translate.packing import pack
from xds_server.translate.render import redacted, unpack
from xds_server.transport.ending import refused
from xds_server.transport.exchange import Exchange, Take

SERVICE: Final = "envoy.service.status.v3.ClientStatusDiscoveryService"

MOST_ENTRIES: Final = 100_000
"""Resources in one answer without their contents, which is about 15 MB."""

MOST_CONTENTS: Final = 10_000
"""Resources in one answer with their contents."""

MOST_BYTES: Final = 64 * 1024 * 1024
"""Bytes of contents in one answer."""

# An answer is a lot of memory for as long as it is made and read.
_MOST_CALLS: Final = 32

_AT_A_TIME: Final = 250
"""Entries that are made in one go: about 10 ms."""

# What the server knows, and what that means for the client. What was sent and not answered may be in use
# already, or never: the client counts as one that asked, or that still has what it accepted before.
_STATES: Final = {
    State.NOT_SENT: (ConfigStatus.NOT_SENT, ClientResourceStatus.REQUESTED),
    State.SENT: (ConfigStatus.STALE, ClientResourceStatus.REQUESTED),
    State.ACKED: (ConfigStatus.SYNCED, ClientResourceStatus.ACKED),
    State.NACKED: (ConfigStatus.ERROR, ClientResourceStatus.NACKED),
}

_NANOS: Final = 1_000_000_000


class ClientStatus:
    """Tells of the clients in a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._exchange = Exchange(_MOST_CALLS)

    def handler(self) -> Any:
        """Give the gRPC handler."""
        methods = {
            "StreamClientStatus": grpc.stream_stream_rpc_method_handler(self._stream),
            "FetchClientStatus": grpc.unary_unary_rpc_method_handler(self._fetch),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def stop(self) -> None:
        """End every stream with UNAVAILABLE."""
        self._exchange.stop()

    async def _stream(self, _requests: Any, context: Any) -> None:
        await self._exchange.stream(self._begin, context)

    async def _fetch(self, message: bytes, context: Any) -> bytes | None:
        return await self._exchange.once(self._answer, message, context)

    @contextlib.contextmanager
    def _begin(self) -> Iterator[Take]:
        yield self._answer

    async def _answer(self, message: bytes) -> bytes:
        try:
            check_payload(message, ClientStatusRequest)
            request = ClientStatusRequest.FromString(message)
            matching.check(request.node_matchers)
        except DecodeError:
            sentence = "the message is not a ClientStatusRequest"
            raise refused(grpc.StatusCode.INVALID_ARGUMENT, sentence) from None
        except ProtocolError as error:
            raise refused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None
        except matching.UnsupportedMatcherError as error:
            raise refused(grpc.StatusCode.UNIMPLEMENTED, str(error)) from None
        answer = _Answer(contents=not request.exclude_resource_contents)
        for sessions in _clients(self._fleet.sessions):
            node = Node.FromString(sessions[0].node)
            if matching.matches(node, request.node_matchers):
                await answer.add(node, sessions)
        return answer.message.SerializeToString()


def _clients(sessions: Iterable[Session]) -> Iterable[list[Session]]:
    """Put together what is one client: without ADS an Envoy has a stream for each type."""
    found: dict[tuple[str, str], list[Session]] = {}
    for session in sessions:
        found.setdefault((session.proxy.id, session.peer), []).append(session)
    return found.values()


class _Answer:
    """A response that grows, up to its limits."""

    def __init__(self, *, contents: bool) -> None:
        self.message = ClientStatusResponse()
        self._contents = contents
        self._entries = 0
        self._bytes = 0

    async def add(self, node: Node, sessions: Iterable[Session]) -> None:
        """Add a client. Raises RefusedError where the answer would be too large."""
        client = self.message.config.add(node=node)
        for session in sessions:
            for status in tuple(session.machine.status()):
                await self._count()
                entry = client.generic_xds_configs.add()
                entry.CopyFrom(_entry(status))
                if self._contents:
                    self._add_content(entry, session, status)

    def _add_content(self, entry: Any, session: Session, status: ResourceStatus) -> None:
        resource = session.machine.snapshot.resource(status.type, status.name)
        # Only the present version is held here; what the client has may be an older one.
        if resource is not None and resource.version == status.sent:
            self._bytes += len(resource.packed)
            entry.xds_config.CopyFrom(_shown(status.type, resource.packed))

    async def _count(self) -> None:
        self._entries += 1
        if self._entries % _AT_A_TIME == 0:
            # Streams are served meanwhile.
            await asyncio.sleep(0)
        if self._entries > (MOST_CONTENTS if self._contents else MOST_ENTRIES) or self._bytes > MOST_BYTES:
            more = ", or set exclude_resource_contents" if self._contents else ""
            raise refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"the answer would be too large; ask for fewer clients with node_matchers{more}",
            )


def _entry(status: ResourceStatus) -> ClientConfig.GenericXdsConfig:
    config_status, client_status = _STATES[status.state]
    if status.state is State.SENT and status.accepted:
        client_status = ClientResourceStatus.ACKED
    entry = ClientConfig.GenericXdsConfig(
        type_url=status.type,
        name=status.name,
        version_info=status.sent,
        config_status=config_status,
        client_status=client_status,
        last_updated=_timestamp(status.sent_at),
    )
    if status.state is State.NACKED:
        failure = UpdateFailureState(
            details=status.error,
            version_info=status.rejected,
            last_update_attempt=_timestamp(status.answered_at),
        )
        entry.error_state.CopyFrom(failure)
    return entry


def _shown(type_url: TypeUrl, packed: bytes) -> AnyMessage:
    """Give a resource as it may be seen: a secret without its key."""
    if type_url is TypeUrl.SECRET:
        return pack(redacted(unpack(type_url, packed)))
    return AnyMessage.FromString(packed)


def _timestamp(at: float | None) -> Timestamp | None:
    if at is None:
        return None
    nanos = round(at * _NANOS)
    return Timestamp(seconds=nanos // _NANOS, nanos=nanos % _NANOS)
