"""How long streams live, and what it costs an Envoy when one ends."""

import asyncio

import pytest

from tests.rig.eventually import eventually
from tests.rig.xds_messages import Response
from xds_server.model.types import TypeUrl
from xds_server.transport.server import ConnectionOptions

pytestmark = pytest.mark.integration

SECONDS = [
    pytest.param(6, id="6 s"),
    pytest.param(15, id="15 s", marks=pytest.mark.slow),
]


@pytest.mark.shows("P-113", "T-ST-19")
@pytest.mark.parametrize("near", [{"connections": ConnectionOptions(age=3.0)}], indirect=True, ids=["3 s"])
async def test_a_connection_that_reaches_its_age_is_opened_again_and_nothing_is_sent_again(
    near, record_property
):
    user = await near.upstream("user")
    near.feed(user=[user.port])
    await near.start_envoy()
    before = await near.envoy.updates()
    await eventually(lambda: len(near.recorder.streams()) > 1, within=10.0)
    old, new = near.recorder.streams()[:2]
    assert 2.5 < old.ended - old.events[0].at < 5
    away = new.events[0].at - old.ended
    record_property("away, seconds", round(away, 3))
    assert away < 1
    # A change comes through on the new stream; what the return itself brought about came before.
    second = await near.upstream("second")
    near.feed(user=[second.port])
    await eventually(lambda: near.envoy.hosts("user"), lambda hosts: list(hosts) == [second.address])
    (_, new, *_) = near.recorder.streams()
    sent = [(event.type, set(event.items)) for event in new.events if isinstance(event, Response)]
    if near.mode == "delta":
        assert [one for one in sent if one[1]] == [(TypeUrl.ENDPOINTS, {"user"})]
    else:
        assert not {TypeUrl.CLUSTER, TypeUrl.LISTENER} & {kind for kind, _ in sent}
    after = await near.envoy.updates()
    for held in ("cluster_manager.cds.update_success", "listener_manager.lds.update_success"):
        assert after[held] == before[held]
    assert (await near.get("user")).body == "second"


@pytest.mark.shows("P-114", "T-ST-20")
@pytest.mark.parametrize("mode", ["both"])
@pytest.mark.parametrize("seconds", SECONDS)
async def test_an_envoy_that_pings_every_second_keeps_its_stream(near, seconds):
    user = await near.upstream("user")
    near.feed(user=[user.port])
    for variant in ("delta", "sotw"):
        await near.start_envoy(amend=pinging, mode=variant, node=variant)
    await asyncio.sleep(seconds)
    streams = near.recorder.streams()
    assert [stream.ended for stream in streams] == [None, None]
    pings = near.recorder.pings()
    assert len(pings) == 2
    assert min(pings.values()) >= seconds - 2


def pinging(config):
    """Let an Envoy ping each second."""
    (cluster,) = config["static_resources"]["clusters"]
    (options,) = cluster["typed_extension_protocol_options"].values()
    http2 = options["explicit_http_config"]["http2_protocol_options"]
    http2["connection_keepalive"] = {"interval": "1s", "timeout": "1s"}
