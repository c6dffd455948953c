"""Real gRPC clients against the server in this process, where a test can reach what it is fed with."""

import contextlib
import functools
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.rig.eventually import eventually
from tests.rig.grpc_client import GrpcInstance, GrpcProgram, bootstrap_file
from tests.runtime.inputs import LOOPBACK, Inputs, catalog
from tests.transport.serving import Serving, serving
from xds_server.model.policy import LbPolicy, Protocol, ServicePolicy
from xds_server.model.problem import Code
from xds_server.telemetry import Event
from xds_server.translate import clusters, proxyless
from xds_server.transport.lrs import LoadReporting

INTERVAL = 0.5


class Rig:
    """The server, an instance of `user` and one of `order`, and programs on demand."""

    def __init__(self, stack: contextlib.AsyncExitStack, folder: Path, server: Serving) -> None:
        self._stack = stack
        self._folder = folder
        self.server = server
        self.inputs = server.inputs

    async def program(self, node: str) -> GrpcProgram:
        where = f"127.0.0.1:{self.server.port}"
        file = bootstrap_file(self._folder, "--id", node, "--cluster", "callers", "--xds", where)
        return await self._stack.enter_async_context(GrpcProgram(file))

    def policy(self, **lb_policies: LbPolicy) -> None:
        services = {
            name: ServicePolicy(protocol=Protocol.GRPC, lb_policy=lb_policy)
            for name, lb_policy in lb_policies.items()
        }
        self.inputs.policy.publish(replace(LOOPBACK, services=services))

    def rejected(self) -> list[str]:
        found = self.inputs.pipeline.problems
        return [one.source for one in found if one.code is Code.RESOURCE_REJECTED]


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    often = functools.partial(LoadReporting, interval=INTERVAL)
    monkeypatch.setattr("xds_server.transport.lrs.LoadReporting", often)
    async with contextlib.AsyncExitStack() as stack:
        user = await stack.enter_async_context(GrpcInstance("user"))
        order = await stack.enter_async_context(GrpcInstance("order"))
        inputs = Inputs(catalog(user=user.port, order=order.port))
        yield Rig(stack, tmp_path, await stack.enter_async_context(serving(inputs)))


@pytest.mark.shows("T-GR-04", "P-031", "P-141")
async def test_a_rejected_cluster_leaves_the_old_one_in_use(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # What is made for Envoys as it is: a load balancing policy that gRPC does not know.
    monkeypatch.setattr(proxyless, "cluster", clusters.cluster)
    rig.policy(user=LbPolicy.ROUND_ROBIN)
    caller = await rig.program("caller-1")
    assert (await caller.call("xds:///user")).answers == {"user": 1}

    with caplog.at_level(logging.WARNING):
        rig.policy(user=LbPolicy.MAGLEV)
        await eventually(rig.rejected, lambda found: found == ['consul service "user"'])
    (logged,) = [record.fields for record in caplog.records if record.message == Event.XDS_NACK]
    assert (logged["node"], logged["type"], logged["resources"]) == ("caller-1", "Cluster", "user")
    assert "LB policy is not supported" in logged["error"]
    assert (await caller.call("xds:///user", count=20)).answers == {"user": 20}
    # One that comes now gets what was accepted last.
    later = await rig.program("caller-2")
    assert (await later.call("xds:///user")).answers == {"user": 1}

    rig.policy(user=LbPolicy.RING_HASH)
    await eventually(rig.rejected, lambda found: not found)
    for each in (caller, later):
        assert (await each.call("xds:///user", count=20)).answers == {"user": 20}


@pytest.mark.shows("T-GR-09", "P-121")
async def test_a_client_reports_its_calls(rig: Rig) -> None:
    rig.policy(user=LbPolicy.ROUND_ROBIN, order=LbPolicy.ROUND_ROBIN)
    caller = await rig.program("caller-1")
    assert (await caller.call("xds:///user", count=7)).answers == {"user": 7}
    assert (await caller.call("xds:///order", count=3)).answers == {"order": 3}
    await eventually(lambda: counts(rig.server), lambda found: found == {"user": 7, "order": 3})
    assert (await caller.call("xds:///user", count=5)).answers == {"user": 5}
    await eventually(lambda: counts(rig.server), lambda found: found == {"user": 12, "order": 3})


def counts(server: Serving) -> dict[str, int]:
    rows = server.loads.view(time.time()).rows
    assert {row.client for row in rows} <= {"caller-1"}
    return {row.place.cluster: row.total.successful for row in rows}
