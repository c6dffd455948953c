"""One client of several does not answer any more: it is named, and nobody else (P39)."""

import asyncio
import contextlib

import pytest

from tests.process.follower import Follower
from tests.rig.eventually import eventually
from tests.runtime.inputs import Inputs, catalog
from tests.transport.serving import serving
from xds_server.model.problem import Code
from xds_server.runtime.truth import TruthMonitor, TruthOptions


@pytest.mark.parametrize("mode", ["delta", "sotw"])
async def test_p39_who_stops_answering_is_named_and_nobody_else(mode):
    inputs = Inputs(catalog(user=8001))
    async with serving(inputs) as server, contextlib.AsyncExitStack() as stack:
        others = [
            await stack.enter_async_context(Follower(server.port, one, "user", node=f"good-{one}"))
            for one in ("delta", "sotw")
        ]
        slow = await stack.enter_async_context(Follower(server.port, mode, "user", node="slow"))
        truth = TruthMonitor(
            server.fleet, lambda: inputs.pipeline.behind, TruthOptions(every=0.02, patience=0.5)
        )
        looking = asyncio.create_task(truth.run())
        await eventually(lambda: all(one.ports == {8001} for one in (*others, slow)))
        slow.muted = True
        # The others have something new to answer all the time.
        for port in range(8002, 8032):
            inputs.catalog.publish(catalog(user=port))
            await eventually(lambda port=port: all(one.ports == {port} for one in others))
            await asyncio.sleep(0.02)
        problems = await eventually(lambda: list(truth.problems()))
        assert {(one.code, one.source.split()[1]) for one in problems} == {(Code.CLIENT_LAGGING, "'slow'")}
        slow.muted = False
        await slow.reconnect()
        await eventually(lambda: slow.ports == {8031})
        await eventually(lambda: not list(truth.problems()))
        looking.cancel()


async def test_p39_a_build_that_fails_for_long_leaves_the_snapshot_behind_until_it_works(monkeypatch):
    inputs = Inputs(catalog(user=8001))
    async with serving(inputs) as server:
        await inputs.pipeline.snapshot.get()
        truth = TruthMonitor(server.fleet, lambda: inputs.pipeline.behind)
        line = next(iter(inputs.pipeline._lines.values()))
        with monkeypatch.context() as broken:
            broken.setattr(line.translator, "translating", None)
            inputs.catalog.publish(catalog(user=8002))
            await eventually(lambda: line.failures)
            truth.look(0.0)
            truth.look(61.0)
            assert [one.code for one in truth.problems()] == [Code.SNAPSHOT_BEHIND]
        # It is tried again by itself.
        await eventually(lambda: inputs.pipeline.behind is None, within=10.0)
        truth.look(62.0)
        assert list(truth.problems()) == []
