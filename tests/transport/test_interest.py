"""What open streams subscribe to counts, over real gRPC."""

import pytest

from tests.protocol.resources import CDS, EDS
from tests.rig.eventually import eventually
from tests.runtime.inputs import Inputs, catalog
from tests.transport.ads_client import VARIANTS, AdsClient
from tests.transport.serving import serving


@pytest.mark.parametrize("variant", VARIANTS)
async def test_the_services_that_streams_use_are_known(variant: str) -> None:
    async with serving(Inputs(catalog(user=8001, other=8002))) as running:
        interest = running.fleet.interest
        async with AdsClient(running.port, variant) as client:
            await client.subscribe(CDS).expect(CDS, "other", "user").ack(CDS)
            assert interest.names == frozenset()
            await client.subscribe(EDS, "user").expect(EDS, "user").ack(EDS)
            assert interest.names == {"user"}
            async with AdsClient(running.port, variant) as second:
                await second.subscribe(EDS, "user", "other").expect(EDS, "other", "user")
                await eventually(lambda: interest.names, lambda names: names == {"user", "other"})
            await eventually(lambda: interest.names, lambda names: names == {"user"})
        await eventually(lambda: interest.names, lambda names: names == frozenset())
