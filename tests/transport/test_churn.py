"""Streams that come and go leave nothing behind."""

import asyncio
import gc
import os
from pathlib import Path

import grpc
import pytest

from tests.protocol.resources import CDS, EDS
from tests.rig.eventually import eventually
from tests.rig.fault_proxy import FaultProxy
from tests.runtime.inputs import Inputs, catalog
from tests.transport.ads_client import METHODS, AdsClient, edge
from tests.transport.serving import serving

CYCLES = [500, pytest.param(5000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]


async def cancelled(client, proxy):
    """The client resets the stream; leaving it does that."""


async def half_closed(client, proxy):
    assert (await (await client.half_close()).end())[0] is grpc.StatusCode.OK


async def cut(client, proxy):
    """The connection breaks."""
    await proxy.cut()
    await client.end()


ENDS = (cancelled, half_closed, cancelled, half_closed, cut)


def resident():
    """Give the memory of this process in MB; client and server are both in it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def held(server):
    """Count what a stream that was forgotten would add to."""
    gc.collect()
    lines = server.inputs.pipeline._lines.values()
    return {
        "tasks": len(asyncio.all_tasks()),
        "sessions": len(server.fleet.sessions),
        "slots": server.server.slots,
        "streams open": len(server.server._discovery._streams),
        "lines": len(lines),
        "streams": sum(line.open for line in lines),
        "loads": len(server.loads.reporters) if hasattr(server.loads, "reporters") else 0,
    }


def at_rest(server):
    found = held(server)
    return not any(found[key] for key in ("sessions", "slots", "streams open", "streams"))


@pytest.mark.parametrize("cycles", CYCLES)
@pytest.mark.shows("P-010", "T-ST-09")
async def test_memory_tasks_and_sessions_stay_flat(cycles, record_property):
    async with serving(Inputs(catalog(user=8001))) as server, FaultProxy(server.port) as proxy:
        await churn(server, proxy, cycles // 5)
        await eventually(lambda: at_rest(server))
        before, memory, objects = held(server), resident(), len(gc.get_objects())

        await churn(server, proxy, cycles)
        await eventually(lambda: at_rest(server))
        # Of what was there before, something may have ended since.
        await eventually(lambda: all(held(server)[key] <= before[key] for key in before), within=10.0)

        grown = {"MB": round(resident() - memory, 1), "objects": len(gc.get_objects()) - objects}
        record_property("grown by", str(grown))
        assert grown["MB"] < 4 + cycles / 500, grown
        assert grown["objects"] < cycles, grown


async def churn(server, proxy, cycles):
    for cycle in range(cycles):
        variant = list(METHODS)[cycle % 2]
        async with AdsClient(proxy.port, variant, node=edge(f"edge-{cycle}")) as client:
            await client.subscribe(CDS).expect(CDS, "user").subscribe(EDS, "user").expect(EDS, "user")
            await ENDS[cycle % len(ENDS)](client, proxy)
