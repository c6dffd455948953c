"""What clients may get wrong, by the numbers of docs/reference/bad-inputs.md (91 to 122).

Each has the end that it should have and says nothing of Python, and a client beside it notices nothing.
"""

import asyncio
import contextlib
import gzip
import os
import struct
import time
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest

from tests.protocol.resources import CDS, EDS
from tests.rig.eventually import eventually
from tests.rig.raw_grpc import GONE, RawGrpc
from tests.runtime.inputs import Inputs, catalog
from tests.transport import test_identity
from tests.transport.ads_client import METHODS, SERVICE, AdsClient, edge
from tests.transport.serving import serving
from xds_server.transport import ConnectionOptions, StreamLimits
from xds_server.transport.flow import FlowLimits
from xds_server.transport.services import ADS

REQUESTS = {"sotw": DiscoveryRequest, "delta": DeltaDiscoveryRequest}
MILLION = 2**20
PATIENT = StreamLimits(flow=FlowLimits(burst=100_000, rate=10_000.0))

OK, UNKNOWN, INVALID, LATE, NOT_FOUND, DENIED, EXHAUSTED, UNIMPLEMENTED, INTERNAL = (
    *("0", "2", "3", "4", "5", "7", "8"),
    *("12", "13"),
)
SERVED = "served"

FIRST_OF_GRPC = 114


@dataclass(frozen=True, kw_only=True)
class Bad:
    """What is sent, on a path with headers, and how the call ends: a gRPC code, or SERVED."""

    case: int
    name: str
    messages: tuple[bytes, ...] = ()
    end: str
    says: str = ""
    path: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    flag: int = 0
    data: bytes = b""
    half_close: bool = False


def request(variant: str, node: Any = None, type_url: str = CDS, **fields: Any) -> bytes:
    names = fields.pop("names", None)
    if names is not None:
        fields["resource_names" if variant == "sotw" else "resource_names_subscribe"] = names
    made = REQUESTS[variant](type_url=type_url, node=edge() if node is None else node, **fields)
    return bytes(made.SerializeToString())


def field_of(number: int, payload: bytes) -> bytes:
    """Give a length-delimited field in protobuf's wire form."""
    size, length = len(payload), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + payload


def deep(levels: int) -> bytes:
    """Give a node whose metadata nests so deep, in its bytes."""
    value = field_of(3, b"x")
    for _ in range(levels):
        # Value.struct_value of Struct.fields, a map entry with a key and a value.
        value = field_of(5, field_of(1, field_of(1, b"k") + field_of(2, value)))
    return field_of(1, b"edge-1") + field_of(3, field_of(1, field_of(1, b"k") + field_of(2, value)))


def large_metadata(size: int) -> Node:
    node = edge()
    node.metadata["k"] = "x" * size
    return node


def bad_inputs(variant: str) -> list[Bad]:
    """Give the table for one variant of the protocol."""
    good = request(variant)
    other = {"sotw": "delta", "delta": "sotw"}[variant]
    number_of_node = {"sotw": 2, "delta": 1}[variant]
    what = f"the message is not a {REQUESTS[variant].__name__}"
    many = [f"s{number:06}" for number in range(350_000)]
    nack = {"code": 13, "message": "\x1b[31m\r\nforged" + "x" * 4_000_000}
    metadata = field_of(number_of_node, deep(200)) + field_of({"sotw": 4, "delta": 2}[variant], CDS.encode())
    rows = [
        Bad(case=91, name="no node", messages=(request(variant, Node()),), end=INVALID, says="no node.id"),
        Bad(case=91, name="an empty message", messages=(b"",), end=INVALID, says="no node.id"),
        Bad(case=92, name="an empty id", messages=(request(variant, Node(cluster="c")),), end=INVALID),
        Bad(
            case=93,
            name="an id of 1 MB",
            messages=(request(variant, Node(id="x" * MILLION)),),
            end=INVALID,
            says="node has more than 1048576 bytes",
        ),
        Bad(
            case=93,
            name="control characters",
            messages=(request(variant, Node(id="a\r\n\x00b")),),
            end=INVALID,
            says="cannot be printed",
        ),
        Bad(
            case=93,
            name="not UTF-8",
            messages=(field_of(number_of_node, field_of(1, b"\xff\xfe")),),
            end=INVALID,
            says=what,
        ),
        Bad(
            case=94,
            name="another node later",
            messages=(good, request(variant, edge("edge-2"))),
            end=DENIED,
            says="not that of the first request",
        ),
        Bad(case=94, name="the same node again", messages=(good, good), end=SERVED),
        Bad(case=96, name="metadata 200 levels deep", messages=(metadata,), end=INVALID, says=what),
        Bad(
            case=96,
            name="3 MB of metadata",
            messages=(request(variant, large_metadata(3_000_000)),),
            end=INVALID,
            says="node has more than 1048576 bytes",
        ),
        Bad(
            case=96,
            name="60 kB of metadata",
            messages=(request(variant, large_metadata(60_000)),),
            end=SERVED,
        ),
        Bad(
            case=97,
            name="no type",
            messages=(request(variant, type_url=""),),
            end=INVALID,
            says="no type_url",
        ),
        Bad(
            case=98,
            name="types of others",
            end=SERVED,
            messages=(*(request(variant, type_url=f"no.such/type{n}") for n in range(100)), good),
        ),
        Bad(
            case=99,
            name="a type on the service of another",
            end=INVALID,
            says="for Cluster only",
            messages=(request(variant, type_url=EDS),),
            path=f"/envoy.service.cluster.v3.ClusterDiscoveryService/{_method_of_clusters(variant)}",
        ),
        Bad(
            case=100,
            name="350,000 names",
            messages=(request(variant, type_url=EDS, names=many),),
            end=EXHAUSTED,
            says="more than 100000 names",
        ),
        Bad(
            case=101,
            name="the same names, and all",
            end=SERVED,
            messages=(request(variant, names=["user", "user", "*", ""]),),
        ),
        Bad(
            case=101,
            name="a name of 1 MB",
            messages=(request(variant, type_url=EDS, names=["x" * MILLION]),),
            end=EXHAUSTED,
            says="longer than 2048",
        ),
        *(
            Bad(
                case=102,
                name=f"nonce {nonce!r}",
                end=SERVED,
                messages=(
                    request(variant, response_nonce=nonce),
                    good,
                    request(variant, response_nonce=nonce),
                ),
            )
            for nonce in ("", "ffff", "1", "no such")
        ),
        Bad(
            case=104,
            name="a rejection that asks for more",
            end=SERVED,
            messages=(
                good,
                request(
                    variant,
                    names=["*", "user"],
                    response_nonce="1",
                    error_detail={"code": 13, "message": "no"},
                ),
            ),
        ),
        Bad(
            case=105,
            name="a rejection of 4 MB",
            messages=(good, request(variant, response_nonce="1", error_detail=nack)),
            end=SERVED,
        ),
        Bad(
            case=106,
            name="a rejection 1,000 times",
            end=SERVED,
            messages=(
                good,
                *(request(variant, response_nonce="1", error_detail={"code": 13}) for _ in range(1000)),
            ),
        ),
        Bad(
            case=110,
            name="a request of the other variant",
            messages=(request(other, names=["a"], response_nonce="x"),),
            end=INVALID,
            says=what,
        ),
        Bad(case=113, name="garbage", messages=(b"\xff\xff\xff\xff",), end=INVALID, says=what),
        Bad(case=113, name="a varint that is cut off", messages=(b"\x0a\xff",), end=INVALID, says=what),
        Bad(
            case=113,
            name="a wrong wire type",
            messages=(bytes([number_of_node << 3 | 0]) + b"\x05",),
            end=INVALID,
        ),
        Bad(case=113, name="garbage later", messages=(good, b"\xff\xff\xff\xff"), end=INVALID, says=what),
        Bad(
            case=113,
            name="garbage to the health service",
            messages=(b"\xff\xff",),
            end=INVALID,
            says="not of the type",
            path="/grpc.health.v1.Health/Check",
            half_close=True,
        ),
        Bad(
            case=113,
            name="garbage to a health watch",
            messages=(b"\xff\xff",),
            end=INVALID,
            says="not of the type",
            path="/grpc.health.v1.Health/Watch",
            half_close=True,
        ),
        Bad(
            case=113,
            name="garbage to the reflection",
            messages=(b"\xff\xff",),
            end=INVALID,
            says="not of the type",
            path="/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ),
        Bad(
            case=113,
            name="garbage for a load report",
            messages=(b"\xff\xff",),
            end=INVALID,
            path="/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats",
        ),
        Bad(
            case=114,
            name="a unary call",
            messages=(good,),
            end=UNIMPLEMENTED,
            half_close=True,
            path="/envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters",
        ),
        Bad(
            case=114,
            name="a service that is not there",
            messages=(good,),
            end=UNIMPLEMENTED,
            path="/no.such/Thing",
        ),
        Bad(
            case=115,
            name="1 MB of metadata",
            messages=(good,),
            headers=(("x-big", "x" * MILLION),),
            end=EXHAUSTED,
        ),
        Bad(
            case=115,
            name="10,000 headers",
            messages=(good,),
            end=EXHAUSTED,
            headers=tuple((f"x-{number}", "y") for number in range(10_000)),
        ),
        Bad(
            case=115,
            name="binary metadata that is none",
            messages=(good,),
            headers=(("x-bin", "!!!!"),),
            end=INTERNAL,
            says="illegal base64",
        ),
        Bad(
            case=115,
            name="a deadline that is none",
            messages=(good,),
            headers=(("grpc-timeout", "zz"),),
            end=INTERNAL,
        ),
        Bad(
            case=116,
            name="a compressed request",
            messages=(gzip.compress(good),),
            flag=1,
            end=SERVED,
            headers=(("grpc-encoding", "gzip"),),
        ),
        Bad(
            case=116,
            name="a compression bomb",
            messages=(gzip.compress(b"\0" * 200 * MILLION),),
            flag=1,
            headers=(("grpc-encoding", "gzip"),),
            end=EXHAUSTED,
            says="larger than max",
        ),
        Bad(case=116, name="compressed by nothing", messages=(good,), flag=1, end=INTERNAL),
        Bad(
            case=112,
            name="a message of 4 GB",
            data=b"\0\xff\xff\xff\xff" + b"x" * 100,
            end=EXHAUSTED,
            says="larger than max",
        ),
        Bad(case=121, name="half-closed after the first message", messages=(good,), half_close=True, end=OK),
        Bad(case=121, name="half-closed before it", data=b"\0\0\0\0\xff" + b"x", half_close=True, end=OK),
        Bad(
            case=122, name="a deadline of 1 ms", messages=(good,), headers=(("grpc-timeout", "1m"),), end=LATE
        ),
    ]
    if variant == "delta":
        rows += _of_delta(good, many)
    else:
        rows.append(
            Bad(
                case=103,
                name="a version that never was",
                end=SERVED,
                messages=(good, request("sotw", response_nonce="1", version_info="forged")),
            )
        )
    return rows


def _of_delta(good: bytes, many: list[str]) -> list[Bad]:
    forged = {"user": "forged", "gone": "x" * 1000}
    dropped = {"type_url": EDS, "resource_names_unsubscribe": ["never"]}
    return [
        Bad(
            case=107,
            name="all dropped and asked for again 500 times",
            end=SERVED,
            messages=(
                good,
                *(
                    request("delta", **{f"resource_names_{verb}": ["*", "user"]})
                    for _ in range(250)
                    for verb in ("unsubscribe", "subscribe")
                ),
            ),
        ),
        Bad(
            case=108,
            name="dropped what was never asked for",
            end=SERVED,
            messages=(good, request("delta", **dropped)),
        ),
        Bad(
            case=108,
            name="asked for and dropped at once",
            end=SERVED,
            messages=(good, request("delta", names=["user"], **dropped)),
        ),
        Bad(
            case=109,
            name="versions that never were",
            end=SERVED,
            messages=(request("delta", initial_resource_versions=forged),),
        ),
        Bad(
            case=109,
            name="350,000 versions",
            end=EXHAUSTED,
            says="more than 100000 initial_resource_versions",
            messages=(request("delta", initial_resource_versions=dict.fromkeys(many, "v")),),
        ),
    ]


def _method_of_clusters(variant: str) -> str:
    return {"sotw": "StreamClusters", "delta": "DeltaClusters"}[variant]


ROWS = [
    pytest.param(variant, row, id=f"{row.case}-{variant}-{row.name}", marks=pytest.mark.case(row.case))
    for variant in METHODS
    for row in bad_inputs(variant)
    # What has nothing to do with discovery is the same for both.
    if variant == "delta" or row.case < FIRST_OF_GRPC
]


@pytest.fixture
async def server():
    async with serving(Inputs(catalog(user=8001)), limits=PATIENT) as running:
        yield running


@contextlib.asynccontextmanager
async def beside(server):
    """A client that was there before, and is told of what changes afterwards."""
    async with AdsClient(server.port, "delta", node=edge("good")) as good:
        await good.subscribe(CDS).expect(CDS, "user").ack(CDS)
        yield
        server.inputs.catalog.publish(catalog(user=8001, order=8002))
        await good.expect(CDS, "order").ack(CDS)
        async with AdsClient(server.port, "sotw", node=edge("late")) as late:
            await late.subscribe(CDS).expect(CDS, "order", "user")


@pytest.mark.parametrize(("variant", "row"), ROWS)
async def test_a_bad_input_has_its_end(server, variant, row, caplog):
    async with beside(server), RawGrpc(server.port) as raw:
        stream = await raw.open(row.path or f"{SERVICE}{METHODS[variant]}", row.headers)
        if row.data:
            await raw.data(stream, row.data, end=row.half_close)
        for number, message in enumerate(row.messages, 1):
            await raw.message(
                stream, message, flag=row.flag, end=row.half_close and number == len(row.messages)
            )

        if row.end == SERVED:
            await eventually(lambda: raw.answers.get(stream))
            # Whatever it goes on to say has its answer, too.
            await raw.message(stream, request(variant, type_url=EDS, names=["user"]))
            await eventually(lambda: b"user" in b"".join(raw.answers[stream][1:]), within=10.0)
        else:
            code, sentence = await raw.outcome(stream, within=40.0)
            assert (code, row.says in sentence) == (row.end, True), sentence
            assert not any(word in sentence for word in ("<class", "Traceback", "Error(", "object at 0x"))
    assert not [record for record in caplog.records if record.message == "stream.failed"]


@pytest.mark.case(95)
def test_a_node_id_of_somebody_else_is_shown_where_certificates_are():
    assert callable(test_identity.test_a_node_id_that_is_a_name_of_the_certificate_is_served_and_no_other)


@pytest.mark.case(111)
async def test_two_streams_of_one_node_are_both_served(server):
    async with AdsClient(server.port, "delta") as one, AdsClient(server.port, "delta") as two:
        for client in (one, two):
            await client.subscribe(CDS).expect(CDS, "user").ack(CDS)
        server.inputs.catalog.publish(catalog(user=8001, order=8002))
        for client in (one, two):
            await client.expect(CDS, "order").ack(CDS)


@pytest.mark.case(117)
@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(400),
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\0" * 64,
    ],
    ids=["HTTP/1.1", "TLS", "SSH", "zeros"],
)
async def test_what_is_no_http2_is_cut_off_at_once(server, said):
    async with beside(server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(said)
        async with asyncio.timeout(5.0):
            with contextlib.suppress(ConnectionError):
                while await reader.read(1000):
                    pass
        writer.close()


@pytest.mark.case(117)
@pytest.mark.parametrize("said", [b"", b"PRI * HTTP/2.0\r\n\r\nS", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
async def test_who_begins_and_does_not_go_on_is_cut_off(server_in_a_hurry, said):
    async with beside(server_in_a_hurry):
        reader, writer = await asyncio.open_connection("127.0.0.1", server_in_a_hurry.port)
        writer.write(said)
        async with asyncio.timeout(10.0):
            with contextlib.suppress(ConnectionError):
                while await reader.read(1000):
                    pass
        writer.close()


@pytest.fixture
async def server_in_a_hurry():
    options = ConnectionOptions(handshake=1.0)
    async with serving(Inputs(catalog(user=8001)), connections=options) as running:
        yield running


@pytest.mark.case(119)
async def test_one_connection_has_a_thousand_streams_at_most(server):
    opened = 3_000
    async with beside(server), RawGrpc(server.port) as raw:
        await eventually(lambda: raw.h2.remote_settings.max_concurrent_streams == 1000)
        # A client that does not keep to it.
        raw.h2.remote_settings[3] = opened
        raw.h2.remote_settings.acknowledge()
        streams = [await raw.open(f"{SERVICE}{ADS.delta}") for _ in range(opened)]
        refused = 0
        for stream in streams[1000:]:
            _, sentence = await raw.outcome(stream)
            refused += "REFUSED_STREAM" in sentence or sentence == GONE
        assert refused == opened - 1000
        assert server.server.slots <= 1001
    await eventually(lambda: server.server.slots == 0)


FLOODS = {
    "PING": lambda number: struct.pack(">I", 8)[1:] + b"\x06\x00" + bytes(4) + number.to_bytes(8),
    "SETTINGS": lambda number: bytes(3) + b"\x04\x00" + bytes(4),
    "RST": lambda number: (
        struct.pack(">I", 4)[1:] + b"\x03\x00" + (2 * number + 1).to_bytes(4) + b"\0\0\0\x08"
    ),
    "WINDOW_UPDATE": lambda number: struct.pack(">I", 4)[1:] + b"\x08\x00" + bytes(4) + b"\0\0\0\x01",
    "PRIORITY": lambda number: (
        struct.pack(">I", 5)[1:] + b"\x02\x00" + (2 * number + 1).to_bytes(4) + bytes(5)
    ),
}


@pytest.mark.case(120)
@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_of_frames_stops_nobody(server, kind, record_property):
    """20,000 frames, which the server answers or passes over, or for which it ends that connection."""
    async with beside(server), RawGrpc(server.port) as raw:
        stream = await raw.open(f"{SERVICE}{ADS.delta}")
        await raw.message(stream, request("delta"))
        await eventually(lambda: raw.answers.get(stream))
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for batch in range(20):
                frames = b"".join(FLOODS[kind](5 + 1000 * batch + number) for number in range(1000))
                async with asyncio.timeout(10.0):
                    await raw.raw(frames)
        record_property("seconds", round(time.monotonic() - began, 2))
    await eventually(lambda: server.server.slots == 0)


@pytest.mark.case(120)
async def test_headers_without_end_are_cut_off(server):
    async with beside(server), RawGrpc(server.port) as raw:
        # HEADERS without END_HEADERS, then CONTINUATION frames for ever (CVE-2024-27983 and its like).
        await raw.raw(b"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82")
        literal = b"\x00\x01a\x7f\x81\x7e" + b"x" * 253
        piece = len(literal * 60).to_bytes(3) + b"\x09\x00\x00\x00\x00\x01" + literal * 60
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                await raw.raw(piece)
        await eventually(lambda: server.server.slots == 1)


@pytest.mark.case(122)
async def test_calls_that_give_up_at_once_leave_nothing(server):
    async with beside(server), grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        for _ in range(200):
            call = channel.stream_stream(f"{SERVICE}{ADS.delta}")(timeout=0.001)
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await call.write(request("delta"))
        await eventually(lambda: server.server.slots == 1)
