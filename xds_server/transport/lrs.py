"""The load reporting service: clients tell how many requests they sent where (P-121).

Envoy API, `envoy/service/load_stats/v3/lrs.proto`: the first message introduces the client and is answered by
what to report how often; each later one is a report.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, Final

import grpc
from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsRequest, LoadStatsResponse
from google.protobuf.message import DecodeError

from xds_server.protocol.messages import ProtocolError
from xds_server.protocol.node import NodeError, proxy_of
from xds_server.protocol.payload import check_payload
from xds_server.runtime.load import Loads, Reporter
from xds_server.translate.packing import duration
from xds_server.transport.ending import refused
from xds_server.transport.exchange import Exchange, Take

SERVICE: Final = "envoy.service.load_stats.v3.LoadReportingService"

INTERVAL: Final = 10.0
"""Seconds between the reports of a client.

Soon enough to watch; and Envoy sends its 60 kB node along each time (envoy#31317), so that 1,000 of them are
6 MB/s.
"""

MOST_BYTES: Final = 4 * 1024 * 1024
"""How long a report may be; one of 10,000 clusters has about 1 MB."""

_MOST_STREAMS: Final = 10_000


class LoadReporting:
    """Adds up what clients report."""

    def __init__(self, loads: Loads, interval: float = INTERVAL) -> None:
        self._loads = loads
        self._interval = interval
        self._exchange = Exchange(_MOST_STREAMS)

    def handler(self) -> Any:
        """Give the gRPC handler."""
        return grpc.method_handlers_generic_handler(
            SERVICE, {"StreamLoadStats": grpc.stream_stream_rpc_method_handler(self._stream)}
        )

    def stop(self) -> None:
        """End every stream with UNAVAILABLE, so that its client goes to another server."""
        self._exchange.stop()

    async def _stream(self, _requests: Any, context: Any) -> None:
        await self._exchange.stream(self._begin, context)

    @contextlib.contextmanager
    def _begin(self) -> Iterator[Take]:
        conversation = _Conversation(self._loads, self._interval)
        try:
            yield conversation.take
        finally:
            conversation.end()


class _Conversation:
    """One stream: who reports, once that is known."""

    def __init__(self, loads: Loads, interval: float) -> None:
        self._loads = loads
        self._interval = interval
        self._reporter: Reporter | None = None

    async def take(self, message: bytes) -> bytes | None:
        """Take a report; the answer to the first is what to report from now on."""
        if len(message) > MOST_BYTES:
            sentence = f"the report is longer than {MOST_BYTES} bytes"
            raise refused(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence)
        try:
            check_payload(message, LoadStatsRequest)
            request = LoadStatsRequest.FromString(message)
        except DecodeError:
            sentence = "the message is not a LoadStatsRequest"
            raise refused(grpc.StatusCode.INVALID_ARGUMENT, sentence) from None
        except ProtocolError as error:
            raise refused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None
        if self._reporter is not None:
            self._reporter.report(request.cluster_stats, time.time())
            return None
        try:
            proxy = proxy_of(request.node, delta=False)
        except NodeError as error:
            raise refused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None
        self._reporter = self._loads.reporter(proxy.id)
        # A client may have something to tell of the time before, as when it lost another stream.
        self._reporter.report(request.cluster_stats, time.time())
        wanted = LoadStatsResponse(send_all_clusters=True, load_reporting_interval=duration(self._interval))
        return wanted.SerializeToString()

    def end(self) -> None:
        """Note that the client is gone."""
        if self._reporter is not None:
            self._reporter.end(time.time())
