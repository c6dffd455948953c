"""Resources with a time to live are kept alive for as long as the stream is open."""

import pytest

from tests.protocol.resources import CDS, cluster
from tests.rig.drafts import tables
from tests.rig.eventually import eventually
from tests.runtime.inputs import Inputs, catalog
from tests.transport.ads_client import AdsClient
from tests.transport.serving import serving
from xds_server.translate import Translation, Translator
from xds_server.translate.packing import Draft


def mortal(made: Draft, ttl: float) -> Draft:
    return Draft(type=made.type, name=made.name, packed=made.packed, ttl=ttl)


@pytest.fixture
async def server(monkeypatch):
    """It serves one cluster that a client drops half a second after its last sign of life."""
    made = mortal(cluster("user"), 0.5)
    translation = Translation(drafts=tables([made]), problems=())

    def translating(*_):
        yield
        return translation

    monkeypatch.setattr(Translator, "translating", translating)
    async with serving(Inputs(catalog(user=8001))) as running:
        await eventually(lambda: running.inputs.pipeline.snapshot.value)
        yield running


@pytest.mark.shows("P-100")
async def test_a_delta_client_hears_heartbeats_without_content(server):
    async with AdsClient(server.port, "delta") as client:
        first = (await client.subscribe(CDS).expect(CDS, "user").ack(CDS)).received[0].resources[0]
        assert first.ttl.ToTimedelta().total_seconds() == 0.5
        nonces = set()
        for _ in range(3):
            message = await client.hear(CDS)
            (beat,) = message.resources
            assert (beat.name, beat.version, beat.ttl) == (first.name, first.version, first.ttl)
            assert not beat.HasField("resource")
            nonces.add(message.nonce)
            await client.ack(CDS)
        assert len(nonces) == 3


async def test_a_sotw_client_hears_none(server):
    async with AdsClient(server.port, "sotw") as client:
        await client.subscribe(CDS).expect(CDS, "user").ack(CDS).expect_nothing(1.0)
