import grpc
import pytest

from tests.rig.eventually import eventually
from tests.rig.xds_client import XdsStream
from xds_server.model.types import TypeUrl

pytestmark = pytest.mark.integration

GARBAGE = b"\xff\xff\xff\xff garbage"


@pytest.mark.shows("P-003", "P-008", "T-LM-05", "T-ST-01", "T-ST-02")
async def test_what_is_no_request_ends_its_own_stream_with_a_sentence(world):
    await world.instance("user")
    await world.start()
    streams = await world.envoy.updates()
    asked = {"type_url": TypeUrl.CLUSTER}
    conversations = {
        "garbage": ([lambda s: GARBAGE], "the message is not a"),
        "garbage later": (
            [lambda s: s.request(node="bad", **asked), lambda s: GARBAGE],
            "the message is not a",
        ),
        "no node": ([lambda s: s.request(**asked)], "the first request has no node.id"),
        "no type": ([lambda s: s.request(type_url="", node="bad")], "the request has no type_url"),
        "long node": ([lambda s: s.request(node="x" * 10_000, **asked)], "node.id is longer than"),
    }
    for name, (requests, sentence) in conversations.items():
        async with XdsStream(world.server.address, world.mode) as stream:
            for request in requests:
                await stream.send(request(stream))
            code, said = await stream.refusal()
            assert code is grpc.StatusCode.INVALID_ARGUMENT, name
            assert sentence in said, name
    assert len(world.server.events("stream.refused")) == len(conversations)
    await notices_nothing(world, streams)


@pytest.mark.shows("P-010")
async def test_a_client_that_breaks_off_leaves_nothing_behind(world):
    await world.instance("user")
    await world.start()
    before = await world.envoy.updates()
    for _ in range(20):
        async with XdsStream(world.server.address, world.mode) as stream:
            await stream.send(stream.request(type_url=TypeUrl.CLUSTER, node="hasty"))
    await notices_nothing(world, before)


@pytest.mark.shows("P-011", "T-ST-12")
async def test_an_unknown_type_is_passed_over_and_the_stream_goes_on(world):
    await world.instance("user")
    await world.start_server()
    async with XdsStream(world.server.address, world.mode) as stream:
        unknown = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
        await stream.send(stream.request(type_url=unknown, node="curious"))
        await stream.send(stream.request(type_url=TypeUrl.CLUSTER))
        response = await stream.receive()
        assert response.type_url == TypeUrl.CLUSTER
        assert len(response.resources) == 1


async def notices_nothing(world, before):
    """The Envoy's stream is open, nothing was sent on it, and the next change comes through."""
    await eventually(lambda: open_streams(world), lambda count: count == 1)
    assert await world.envoy.updates() == before
    second = await world.instance("user", "user-2")
    await eventually(lambda: world.envoy.hosts("user"), lambda hosts: second.address in hosts)


async def open_streams(world):
    return (await world.server.metrics()).total("xds_streams")
