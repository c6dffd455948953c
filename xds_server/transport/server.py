"""The gRPC server: ADS, health and reflection on one port."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from xds_server.runtime.pipeline import Pipeline
from xds_server.transport.ads import SERVICE, AdsService, StreamLimits
from xds_server.transport.tls import TlsFiles, server_credentials

_MIB: Final = 1024 * 1024

# Each with its reason; the names are gRPC core's channel arguments.
_OPTIONS: Final = (
    # Two servers on one port would silently share its streams.
    ("grpc.so_reuseport", 0),
    # A reconnect lists every resource version the proxy has (P-110).
    ("grpc.max_receive_message_length", 16 * _MIB),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_concurrent_streams", 100),
    # A half-open connection is found out (P-114), and Envoy's own pings are never taken for abuse.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class XdsServerOptions:
    """Where to listen, with which certificate, and how this server calls itself towards clients."""

    host: str
    port: int
    tls: TlsFiles | None = None
    identifier: str
    limits: StreamLimits


class PortTakenError(Exception):
    """The address cannot be bound."""


class XdsServer:
    """Serves xDS until it is stopped."""

    def __init__(self, pipeline: Pipeline, options: XdsServerOptions) -> None:
        self._options = options
        self._pipeline = pipeline
        self._ads = AdsService(pipeline, options.identifier, options.limits)
        self._health = health.aio.HealthServicer()
        self._server: Any = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((self._ads.handler(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )

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

    async def stop(self, grace: float) -> None:
        """Turn unhealthy, end every stream with UNAVAILABLE, and be gone within `grace` seconds."""
        await self._health.enter_graceful_shutdown()
        self._ads.stop()
        await self._server.stop(grace)

    async def _set_health(self, status: Any) -> None:
        for service in ("", SERVICE):
            await self._health.set(service, status)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
