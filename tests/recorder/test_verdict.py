"""What a test hears in the end."""

from types import SimpleNamespace

import pytest

from tests.protocol.resources import CDS
from tests.rig.conversation import Rule
from tests.rig.recorder import Recorder
from tests.rig.verdict import verdict
from tests.runtime.inputs import Inputs, catalog
from tests.transport.ads_client import AdsClient
from tests.transport.serving import serving


class Waiting:
    """An Envoy as far as a verdict is concerned."""

    def __init__(self, *waits, returncode=None):
        self.process = SimpleNamespace(returncode=returncode)
        self._waits = waits

    async def waits(self):
        return self._waits


@pytest.fixture
async def recorder():
    """A recorder that has heard a conversation in which nothing was wrong."""
    async with Recorder() as recorder, serving(Inputs(catalog(user=8001))) as running:
        _, port = await recorder.tap(("127.0.0.1", running.port))
        async with AdsClient(port, "delta") as client:
            await client.subscribe(CDS).expect(CDS, "user").ack(CDS)
            yield recorder


async def test_nothing_is_wrong(recorder):
    await verdict(recorder, [Waiting()])


async def test_an_envoy_that_waited_in_vain(recorder):
    with pytest.raises(AssertionError, match="init_fetch_timeout is 1"):
        await verdict(recorder, [Waiting(), Waiting("rds.init_fetch_timeout is 1")])
    await verdict(recorder, [Waiting("it is gone", returncode=1)])
    recorder.excuse("the route never comes", Rule.WARMING)
    await verdict(recorder, [Waiting("rds.init_fetch_timeout is 1")])


async def test_an_envoy_that_nobody_heard():
    async with Recorder() as recorder:
        await verdict(recorder, [])
        with pytest.raises(AssertionError, match="nothing was recorded"):
            await verdict(recorder, [Waiting()])
        recorder.excuse("the channel is encrypted", Rule.READABLE)
        await verdict(recorder, [Waiting()])
