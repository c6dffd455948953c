"""Clients that break off, stall, flood or talk nonsense, and a bug of our own: the others notice nothing."""

import asyncio
import logging
import time
from collections import Counter

import grpc
import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest

from tests.protocol.resources import CDS, EDS, SDS
from tests.rig.eventually import eventually
from tests.runtime.inputs import Inputs, catalog
from tests.transport.ads_client import METHODS, SERVICE, VARIANTS, AdsClient, edge
from tests.transport.serving import sample, serving, streams
from xds_server import telemetry
from xds_server.model.secret import Secret, Secrets
from xds_server.protocol import DeltaMachine, SotwMachine
from xds_server.translate import Translator
from xds_server.transport import ConnectionOptions, StreamLimits, counting

REQUESTS = {"sotw": DiscoveryRequest, "delta": DeltaDiscoveryRequest}
MACHINES = {"sotw": SotwMachine, "delta": DeltaMachine}
STATUS = grpc.StatusCode


@pytest.fixture(params=METHODS)
def variant(request):
    return request.param


@pytest.fixture
async def server():
    async with serving(Inputs(catalog(user=8001))) as running:
        yield running


def big_secret(size):
    return Secrets(by_name={"big": Secret(name="big", trusted_ca=b"x" * size)})


async def serve_big_secret(server, size):
    server.inputs.secrets.publish(big_secret(size))
    await eventually(lambda: server.inputs.pipeline.snapshot.value.resource(SDS, "big:ca"))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.shows("P-010", "T-ST-07", "T-ST-15")
async def test_a_client_that_is_gone_leaves_nothing(server, variant, caplog):
    """Streams that break at any point, also in the middle of a large response."""
    await serve_big_secret(server, 12_000_000)
    tasks = len(asyncio.all_tasks())
    for asked in ((CDS,), (SDS, "big:ca"), ()):
        for _ in range(5):
            async with AdsClient(server.port, variant) as client:
                if asked:
                    await client.subscribe(*asked)
                    await eventually(lambda: streams(variant) == 1)
    await eventually(lambda: streams(variant) == 0)
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)

    assert server.fleet.sessions == ()
    assert server.server.slots == 0
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.shows("T-LM-03")
@pytest.mark.case(118)
@pytest.mark.case(118)
async def test_a_client_that_does_not_read_is_left(variant):
    """It is ended after the write timeout; what it holds of ours fills its slot until it reads or goes."""
    limits = StreamLimits(write=0.3)
    async with serving(Inputs(catalog(user=8001)), limits=limits) as server:
        await serve_big_secret(server, 12_000_000)
        async with AdsClient(server.port, variant) as slow, AdsClient(server.port, variant) as other:
            await slow.subscribe(SDS, "big:ca")
            await other.subscribe(CDS).expect(CDS, "user").ack(CDS)
            await eventually(lambda: server.server.slots == 2)
            # The metric counts the other stream alone once the slow one is ended.
            await eventually(lambda: streams(variant) == 1)
            assert len(server.fleet.sessions) == 1
            assert server.server.slots == 2
            server.inputs.catalog.publish(catalog(user=8001, order=8002))
            await other.expect(CDS, *(["user"] if variant.startswith("sotw") else []), "order")

            code, details = await slow.end()
            assert code is STATUS.RESOURCE_EXHAUSTED
            assert details == "the client took no response for 0.3 s"
            await eventually(lambda: server.server.slots == 1)


@pytest.mark.parametrize("changes", [100, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.shows("P-034", "T-LM-03")
async def test_changes_pass_a_client_that_never_reads(server, variant, changes, record_property):
    slow = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
    call = slow.stream_stream(SERVICE + METHODS[variant])()
    names = {"resource_names": ["user"]} if variant == "sotw" else {"resource_names_subscribe": ["user"]}
    await call.write(REQUESTS[variant](type_url=EDS, node=edge("slow"), **names).SerializeToString())
    (session,) = await eventually(lambda: server.fleet.sessions)
    sent = Counter()
    send = session.machine.outbox
    delays = []
    async with AdsClient(server.port, variant) as other:
        await other.subscribe(EDS, "user").expect(EDS, "user").ack(EDS)
        session.machine.outbox = lambda at: _noted(sent, send(at))
        for number in range(changes):
            changed = time.perf_counter()
            server.inputs.catalog.publish(catalog(user=10_000 + number))
            await other.expect(EDS, "user")
            delays.append(time.perf_counter() - changed)
            await other.ack(EDS)

        # The first response waits for its answer; all changes have become one that is due.
        assert sent.total() == 0
        (state,) = session.machine.types.values()
        assert (len(state.ledger.outstanding), len(state.dirty)) == (1, 1)
        delays.sort()
        p99 = delays[changes * 99 // 100]
        record_property("p99 in ms", f"{1000 * p99:.1f}")
        assert p99 < 0.5
    call.cancel()
    await slow.close()


def _noted(sent, responses):
    sent.update(response.type for response in responses)
    return responses


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x22\x03\xff\xfe\xfd"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.shows("T-LM-05")
async def test_garbage_ends_its_stream_alone(server, variant, garbage, first):
    """Bytes that are no message, and a type that is no text."""
    async with AdsClient(server.port, variant) as client, AdsClient(server.port, variant) as other:
        await other.subscribe(CDS).expect(CDS, "user")
        if not first:
            await client.subscribe(CDS).expect(CDS, "user")
        code, details = await (await client.say(garbage)).end()

        assert code is STATUS.INVALID_ARGUMENT
        assert REQUESTS[variant].DESCRIPTOR.name in details
        await other.subscribe(EDS, "user").expect(EDS, "user")


def reconnect(size):
    """Give the first request of a delta client that lists so many bytes of versions it has."""
    versions = {f"gone-{number:012d}": "x" * 1000 for number in range(size // 1030)}
    return DeltaDiscoveryRequest(
        type_url=CDS, node=edge(), initial_resource_versions=versions
    ).SerializeToString()


@pytest.mark.shows("P-110", "T-LM-01")
async def test_a_large_request_is_taken_and_one_above_the_limit_ends_its_stream_alone():
    connections = ConnectionOptions(request_size=8 * 2**20)
    async with (
        serving(Inputs(catalog(user=8001)), connections=connections) as server,
        AdsClient(server.port, "delta") as other,
    ):
        await other.subscribe(CDS).expect(CDS, "user")
        async with AdsClient(server.port, "delta") as large:
            answer = await (await large.say(reconnect(5_000_000))).hear()
            assert [one.name for one in answer.resources] == ["user"]
            await large.ack(CDS)
            assert len((await large.hear()).removed_resources) > 4000
        async with AdsClient(server.port, "delta") as larger:
            code, details = await (await larger.say(reconnect(9_000_000))).end()
        assert code is STATUS.RESOURCE_EXHAUSTED
        assert "larger than max" in details
        await other.ack(CDS).subscribe(EDS, "user").expect(EDS, "user")


@pytest.mark.shows("P-111", "T-LM-02")
async def test_a_grpc_client_refuses_a_response_above_4_mb(server, variant):
    await serve_big_secret(server, 8_000_000)
    async with AdsClient(server.port, variant, options=()) as client:
        code, details = await (await client.subscribe(SDS, "big:ca")).end()

    assert (code, "larger than max" in details) == (STATUS.RESOURCE_EXHAUSTED, True)


@pytest.mark.shows("P-111", "T-LM-02")
async def test_so_it_is_warned_of(server, variant, caplog, monkeypatch):
    monkeypatch.setattr(counting, "_GRPC_RECEIVES", 10)
    node = edge("grpc-1")
    node.user_agent_name = "gRPC C-core linux Python"
    before = sample("xds_large_responses_total")
    async with AdsClient(server.port, variant, node=node) as client:
        await client.subscribe(EDS, "user")
        size = (await client.hear()).ByteSize()

    assert sample("xds_large_responses_total") == before + 1
    (warning,) = [record for record in caplog.records if record.message == "xds.response_large"]
    assert warning.fields == {"node": "grpc-1", "type": "ClusterLoadAssignment", "bytes": size}


async def test_an_envoy_is_sent_responses_of_any_size_without_a_warning(server, variant, caplog):
    await serve_big_secret(server, 8_000_000)
    async with AdsClient(server.port, variant) as client:
        await client.subscribe(SDS, "big:ca").expect(SDS, "big:ca")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.shows("P-117", "T-LM-04")
async def test_a_client_may_ask_for_much_but_not_for_everything(server, variant):
    async with AdsClient(server.port, variant) as modest, AdsClient(server.port, variant) as other:
        await other.subscribe(CDS).expect(CDS, "user")
        await modest.subscribe(SDS, *(f"secret-{number}" for number in range(10_000)))
        await modest.subscribe(CDS)
        while (await modest.hear()).type_url != CDS:
            pass
        for names in (["x" * 4096], [f"secret-{number}" for number in range(100_001)]):
            async with AdsClient(server.port, variant) as greedy:
                code, details = await (await greedy.subscribe(SDS, *names)).end()
            assert code is STATUS.RESOURCE_EXHAUSTED
            assert "of Secret" in details
        await other.ack(CDS).subscribe(EDS, "user").expect(EDS, "user")


@pytest.mark.parametrize("where", ["__init__", "receive", "outbox", "offer"])
@pytest.mark.shows("P-010", "T-ST-10")
async def test_a_bug_ends_its_stream_alone(server, variant, where, caplog):
    async with AdsClient(server.port, variant) as other:
        await other.subscribe(CDS).expect(CDS, "user").ack(CDS).expect_nothing()
        with pytest.MonkeyPatch.context() as patch:
            async with AdsClient(server.port, variant) as unlucky:
                if where == "offer":
                    await unlucky.subscribe(CDS).expect(CDS, "user").ack(CDS)
                    (_, session) = server.fleet.sessions
                    session.machine.offer = _break
                    server.inputs.catalog.publish(catalog(user=8001, order=8002))
                else:
                    patch.setattr(MACHINES[variant], where, _break)
                    await unlucky.subscribe(CDS)
                code, details = await unlucky.end()
        assert code is STATUS.INTERNAL
        assert details.startswith("a bug in this server ended the stream;")
        assert len(server.fleet.sessions) == 1
        await eventually(lambda: server.server.slots == 1)
        server.inputs.catalog.publish(catalog(user=8001, order=8002))
        await other.expect(CDS, *(["user"] if variant == "sotw" else []), "order")
    failures = [record for record in caplog.records if record.message == "stream.failed"]
    assert len(failures) == 1
    assert "a bug with a secret in it" in telemetry.JsonFormatter().format(failures[0])


def _break(*arguments, **named):
    raise ZeroDivisionError("a bug with a secret in it")


@pytest.mark.shows("P-119", "T-LM-07", "T-ST-16")
async def test_while_nothing_can_be_made_for_a_client_it_keeps_what_it_has(server, variant):
    async with AdsClient(server.port, variant) as client:
        await client.subscribe(CDS).expect(CDS, "user").ack(CDS)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Translator, "translating", _break)
            failed = sample("xds_snapshot_builds_total", result="failed")
            server.inputs.catalog.publish(catalog())
            await eventually(lambda: sample("xds_snapshot_builds_total", result="failed") > failed)
            await client.expect_nothing()
        server.inputs.catalog.publish(catalog(user=8001, order=8002))
        await client.expect(CDS, *(["user"] if variant == "sotw" else []), "order")
