"""What a worker tells its parent, and what the parent makes of it; the worker is a real process."""

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import replace

import grpc
import pytest
from envoy.config.core.v3.base_pb2 import Node
from envoy.config.endpoint.v3.load_report_pb2 import ClusterStats, UpstreamLocalityStats
from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsRequest
from google.rpc.status_pb2 import Status

from tests.rig.eventually import eventually
from tests.rig.xds_client import XdsStream
from tests.runtime.inputs import LOOPBACK, catalog
from xds_server.admin import Sources
from xds_server.app.workers import member
from xds_server.app.workers.crew import Crew, Parent, _share
from xds_server.model.problem import Code
from xds_server.model.secret import Secrets
from xds_server.model.types import TypeUrl
from xds_server.runtime.control import Control
from xds_server.runtime.debounce import Pace
from xds_server.runtime.interest import Interest
from xds_server.runtime.latest import Latest
from xds_server.runtime.load import Loads
from xds_server.runtime.pipeline import Pipeline
from xds_server.settings import LogSettings, Settings
from xds_server.transport import Caps, StreamLimits, TlsFiles, XdsServerOptions

LRS = "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats"
OPTIONS = XdsServerOptions(host="127.0.0.1", port=0, identifier="x", limits=StreamLimits(), drain=0.0)


def parent():
    """Give the parts of a parent that knows two services."""
    sources, policy, secrets = Sources(), Latest(LOOPBACK), Latest(Secrets())
    sources.believed.publish(catalog(user=8001, order=8002))
    pipeline = Pipeline(sources.believed, policy, secrets, Pace())
    return Parent(
        sources=sources,
        policy=policy,
        secrets=secrets,
        control=Control(pipeline),
        interest=Interest(),
        loads=Loads(),
    )


def crew_of(of, options=OPTIONS, count=1):
    log = LogSettings(level="error", form="json")
    return Crew(Settings(workers=count, log=log), options, of)


@contextlib.asynccontextmanager
async def at_work(crew):
    """Run a crew; give where it listens."""
    try:
        port = await crew.start()
        running = asyncio.create_task(crew.run())
        yield "127.0.0.1", port
        await crew.drain()
        running.cancel()
    finally:
        await crew.stop(0.0)


@contextlib.asynccontextmanager
async def subscribed(address, type_url, **fields):
    """Give a stream that has asked for a type, and the first response."""
    async with XdsStream(address, "delta") as stream:
        await stream.send(stream.request(type_url=type_url, node="edge-1", **fields))
        yield stream, await stream.receive(within=10.0)


async def test_the_parent_hears_what_clients_use_and_report_and_what_is_held():
    of = parent()
    crew = crew_of(of)
    async with at_work(crew) as address, contextlib.AsyncExitStack() as stack:
        names = {"resource_names_subscribe": ["user"]}
        asked = subscribed(address, TypeUrl.ENDPOINTS, **names)
        _, response = await stack.enter_async_context(asked)
        assert [one.name for one in response.resources] == ["user"]
        await eventually(lambda: of.interest.names, {"user"}.__eq__)

        channel = await stack.enter_async_context(grpc.aio.insecure_channel("{}:{}".format(*address)))
        call = channel.stream_stream(LRS)()
        place = UpstreamLocalityStats(total_issued_requests=7, total_successful_requests=5)
        stats = ClusterStats(cluster_name="user", upstream_locality_stats=[place])
        report = LoadStatsRequest(node=Node(id="edge-1"), cluster_stats=[stats])
        await call.write(report.SerializeToString())
        (row,) = await eventually(lambda: of.loads.view(time.time()).rows, bool)
        assert (row.client, row.place.cluster, row.total.issued) == ("edge-1", "user", 7)
        call.cancel()

        # All clusters at once are not believed to be gone, until an operator says so.
        of.sources.believed.publish(catalog())
        (hold,) = await eventually(lambda: [one for one in crew.holds if one.subject == "cluster"], bool)
        assert crew.accept("no such") == ()
        assert crew.accept(hold.id) == (hold,)
        await eventually(lambda: hold.id in {one.id for one in crew.holds}, False.__eq__)
    assert [one.pid for one in of.sources.workers.value] == [None]


@pytest.mark.slow  # silence takes its time
async def test_one_that_stands_still_is_started_anew_and_knows_what_was_refused(monkeypatch):
    of = parent()
    crew = crew_of(of)
    async with at_work(crew) as address:
        monkeypatch.setattr(member, "_SILENCE", 5.0)
        async with subscribed(address, TypeUrl.CLUSTER) as (stream, response):
            words = Status(code=3, message="Error adding/updating cluster(s) user: no")
            refusal = {"response_nonce": response.nonce, "error_detail": words}
            await stream.send(stream.request(type_url=TypeUrl.CLUSTER, **refusal))
            # A word counts of who accepts something else.
            rest = await stream.receive()
            await stream.send(stream.request(type_url=TypeUrl.CLUSTER, response_nonce=rest.nonce))
            (refused,) = await eventually(crew.withheld, bool)
            assert [one.name for one in refused.refused] == ["user"]
            assert [one.code for one in crew.problems()] == [Code.RESOURCE_REJECTED]

        (state,) = of.sources.workers.value
        os.kill(state.pid, signal.SIGSTOP)
        await eventually(lambda: of.sources.reachable, False.__eq__, within=15.0)
        monkeypatch.undo()
        assert [one.code for one in crew.problems()] == [Code.WORKER_DOWN]
        assert crew.withheld() == (refused,)
        await eventually(lambda: of.sources.reachable, within=30.0)
        assert of.sources.workers.value[0].pid not in (None, state.pid)
        await eventually(lambda: crew._reports[1].problems == (), within=15.0)
        assert crew.withheld() == (refused,)


async def test_what_hinders_a_worker_from_listening_is_told_by_the_start():
    crew = crew_of(parent(), replace(OPTIONS, tls=TlsFiles(cert_file="/no", key_file="/no")))
    with pytest.raises(OSError, match="/no"):
        async with at_work(crew):
            pass


def test_caps_hold_for_all_workers_together():
    caps = Caps(streams=10, per_address=5, per_identity=1)
    limits = StreamLimits(caps=caps)
    shared = _share(replace(OPTIONS, limits=limits), 3, 18000)
    assert (shared.port, shared.shared) == (18000, True)
    assert shared.limits.caps == Caps(streams=4, per_address=2, per_identity=1)
