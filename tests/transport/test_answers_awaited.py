"""What waits for an answer to clusters that never comes."""

import pytest

from tests.protocol.resources import CDS, EDS, RDS, service, web
from tests.rig.drafts import tables
from tests.rig.eventually import eventually
from tests.runtime.inputs import Inputs, catalog
from tests.transport.ads_client import AdsClient
from tests.transport.serving import serving
from xds_server.protocol import machine
from xds_server.translate import Translation, Translator


def translation(color):
    return Translation(drafts=tables([*service(color), *web("edge", color)]), problems=())


@pytest.mark.shows("P-093")
@pytest.mark.parametrize("variant", ["sotw", "delta"])
async def test_routes_go_on_though_nothing_else_happens_on_the_stream(monkeypatch, variant):
    color = "blue"

    def translating(*_):
        yield
        return translation(color)

    monkeypatch.setattr(Translator, "translating", translating)
    monkeypatch.setattr(machine, "CLUSTERS_AWAITED", 1.0)
    async with serving(Inputs(catalog(user=8001))) as running, AdsClient(running.port, variant) as client:
        await eventually(lambda: running.inputs.pipeline.snapshot.value)
        await client.subscribe(CDS).expect(CDS, "blue").ack(CDS)
        await client.subscribe(EDS, "blue").expect(EDS, "blue").ack(EDS)
        await client.subscribe(RDS, "edge").expect(RDS, "edge").ack(RDS)
        color = "green"
        running.inputs.catalog.publish(catalog(user=8002))
        await client.expect(CDS, *(["blue", "green"] if variant == "sotw" else ["green"]))
        await client.expect_nothing(0.3).expect(RDS, "edge")
