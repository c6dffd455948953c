"""The gRPC server: discovery, client status, load reports, health and reflection on one port."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from xds_server.runtime.fleet import Fleet
from xds_server.runtime.load import Loads
from xds_server.runtime.pipeline import Pipeline
from xds_server.transport import csds, lrs
from xds_server.transport.decoding import PlainErrors
from xds_server.transport.reception import StreamLimits
from xds_server.transport.services import SERVICES
from xds_server.transport.streams import DiscoveryService
from xds_server.transport.tls import TlsFiles, server_credentials

_NAMES: Final = (*(service.name for service in SERVICES), csds.SERVICE, lrs.SERVICE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """How connections are kept; times in seconds, sizes in bytes.

    A ping goes out after `keepalive_time` without traffic, and the connection is dropped when no answer comes
    within `keepalive_timeout`: so a client that vanished is found out (P-114). The defaults are gRPC's and
    Envoy's usual values. A connection is closed at `age`, give or take a tenth (gRPC core draws it for each),
    with `age_grace` for what is short (P-113). A request is at most `request_size` (P-110). A client has
    `handshake` seconds for TLS and the first words of HTTP/2.
    """

    keepalive_time: float = 30.0
    keepalive_timeout: float = 10.0
    age: float = 1800.0
    age_grace: float = 1.0
    request_size: int = 16 * 1024 * 1024
    handshake: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class XdsServerOptions:
    """Where to listen, with which certificate, how this server calls itself, and what clients may cost.

    `drain` is the greatest number of seconds over which a stop spreads the ends of the streams. A port may be
    `shared` with other processes of this server.
    """

    host: str
    port: int
    tls: TlsFiles | None = None
    identifier: str
    limits: StreamLimits
    connections: ConnectionOptions = ConnectionOptions()
    drain: float = 3.0
    shared: bool = False


class PortTakenError(Exception):
    """The address cannot be bound."""


class XdsServer:
    """Serves xDS until it is stopped; notes who is connected in `fleet`, and what they report in `loads`."""

    def __init__(self, pipeline: Pipeline, fleet: Fleet, loads: Loads, options: XdsServerOptions) -> None:
        self._options = options
        self._pipeline = pipeline
        self._discovery = DiscoveryService(pipeline, fleet, options.identifier, options.limits)
        self._status = csds.ClientStatus(fleet)
        self._loads = lrs.LoadReporting(loads)
        self._health = health.aio.HealthServicer()
        self._server: Any = grpc.aio.server(
            interceptors=(PlainErrors(),), options=_channel_arguments(options)
        )
        self._server.add_generic_rpc_handlers(
            (*self._discovery.handlers(), self._status.handler(), self._loads.handler())
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*_NAMES, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )

    @property
    def slots(self) -> int:
        """How many of the streams that `StreamLimits.streams` allows are taken."""
        return self._discovery.slots

    async def start(self) -> int:
        """Bind and serve; give the port. Raises PortTakenError, and OSError for unreadable TLS files."""
        address = _join(self._options.host, self._options.port)
        try:
            if self._options.tls is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, server_credentials(self._options.tls))
        except RuntimeError:
            raise PortTakenError(address) from None
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.start()
        return int(port)

    async def run(self) -> None:
        """Turn healthy with the first snapshot, then serve for ever."""
        await self._pipeline.snapshot.get()
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        await asyncio.Event().wait()

    async def drain(self) -> None:
        """Turn unhealthy, refuse new streams, and end the open ones one after another (P-012)."""
        await self._health.enter_graceful_shutdown()
        self._status.stop()
        self._loads.stop()
        await self._discovery.drain(self._options.drain)

    async def stop(self, grace: float) -> None:
        """Drain, and be gone within `grace` more seconds."""
        await self.drain()
        await self._server.stop(grace)

    async def _set_health(self, status: Any) -> None:
        for service in ("", *_NAMES):
            await self._health.set(service, status)


def _channel_arguments(options: XdsServerOptions) -> tuple[tuple[str, int], ...]:
    """Give gRPC core's channel arguments, each with its reason.

    Source: https://github.com/grpc/grpc/blob/master/include/grpc/impl/channel_arg_names.h
    """
    connections = options.connections
    arguments = (
        # Two servers on one port would silently share its streams; those of one server are to.
        ("grpc.so_reuseport", int(options.shared)),
        # A reconnect lists every resource version the proxy has (P-110).
        ("grpc.max_receive_message_length", connections.request_size),
        # Envoy takes responses of any size (P-111).
        ("grpc.max_send_message_length", -1),
        # A gRPC process has a stream for each of its targets, all on one connection; one too many would wait.
        ("grpc.max_concurrent_streams", 1_000),
        # gRPC drops calls without a word once 1,000 wait to be taken up, as when a herd reconnects, or one
        # has waited for 30 seconds, as when the machine is short of processors too; whom to refuse, and with
        # which words, `Admission` decides. In 120 seconds 20,000 are taken up at 170 in a second.
        ("grpc.server.max_pending_requests", 20_000),
        ("grpc.server.max_pending_requests_hard_limit", 40_000),
        ("grpc.server_max_unrequested_time_in_server", 120),
        # Headers of a call; nothing here reads any, and a token or a trace id has its place in 16 KiB.
        ("grpc.max_metadata_size", 16 * 1024),
        ("grpc.absolute_max_metadata_size", 64 * 1024),
        # Who connects and says nothing is gone after this, where gRPC waits two minutes.
        ("grpc.server_handshake_timeout_ms", _milliseconds(connections.handshake)),
        # P-114, in both directions: a client's own pings are never taken for abuse.
        ("grpc.keepalive_time_ms", _milliseconds(connections.keepalive_time)),
        ("grpc.keepalive_timeout_ms", _milliseconds(connections.keepalive_timeout)),
        # Without it gRPC waits a minute for the answer to a ping, whatever the line above says.
        ("grpc.http2.ping_timeout_ms", _milliseconds(connections.keepalive_timeout)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_ping_strikes", 0),
        # P-113
        ("grpc.max_connection_age_ms", _milliseconds(connections.age)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(connections.age_grace)),
    )
    if options.tls is not None and options.tls.client_ca_file:
        # A client whose certificate expired would try again and again on the connection that has the old
        # one; without streams it is soon closed, and the next one has the new certificate (P-116).
        return (*arguments, ("grpc.max_connection_idle_ms", 1_000))
    return arguments


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
