import asyncio
import contextlib
import logging
from dataclasses import replace

import pytest

from tests.rig.eventually import eventually
from tests.runtime.inputs import LOOPBACK, Inputs, catalog
from xds_server import telemetry
from xds_server.model.problem import Code
from xds_server.model.proxy import Group, Proxy
from xds_server.model.secret import Secrets
from xds_server.model.types import TypeUrl
from xds_server.runtime import pipeline as module
from xds_server.runtime.debounce import Pace
from xds_server.runtime.line import Line
from xds_server.runtime.pipeline import MAX_KINDS, TooManyKindsError
from xds_server.snapshot import build
from xds_server.translate import Translator, Understanding


@contextlib.asynccontextmanager
async def running(inputs):
    task = asyncio.create_task(inputs.pipeline.run())
    try:
        yield inputs.pipeline
    finally:
        task.cancel()


def proxy(admin_port, agent="envoy 1.40.0"):
    return Proxy(id="edge-1", agent=agent, group=Group(admin_port=admin_port))


def clusters(snapshot):
    return list(snapshot.sets[TypeUrl.CLUSTER].by_name)


def render_of(name):
    translation = Translator(Group()).translate(catalog(**{name: 8001}), LOOPBACK, Secrets())
    return build(translation.drafts, translation.problems, module.EMPTY, translation.derived)


def count(result):
    return telemetry.REGISTRY.get_sample_value("xds_snapshot_builds_total", {"result": result}) or 0.0


async def test_it_is_ready_with_the_first_catalog():
    inputs = Inputs()
    async with running(inputs) as pipeline:
        await asyncio.sleep(0.01)
        assert not pipeline.ready

        inputs.catalog.publish(catalog(user=8001))

        snapshot = await pipeline.snapshot.get()
        assert pipeline.ready
        assert clusters(snapshot) == ["user"]
        assert telemetry.REGISTRY.get_sample_value("xds_ready") == 1
        in_metrics = telemetry.REGISTRY.get_sample_value("xds_snapshot_resources", {"type": "Cluster"})
        assert in_metrics == 1


@pytest.mark.parametrize("missing", ["catalog", "policy", "secrets"])
async def test_it_waits_for_every_input(missing):
    inputs = Inputs(catalog(user=8001))
    getattr(inputs, missing)._value = None
    async with running(inputs) as pipeline:
        await asyncio.sleep(0.01)

        assert not pipeline.ready


async def test_every_input_makes_a_new_snapshot():
    inputs = Inputs(catalog(user=8001))
    async with running(inputs) as pipeline:
        await pipeline.snapshot.get()
        inputs.catalog.publish(catalog(user=8001, order=8002))
        await eventually(lambda: clusters(pipeline.snapshot.value) == ["order", "user"])

        inputs.policy.publish(replace(LOOPBACK, hidden_services=frozenset({"order"})))
        await eventually(lambda: clusters(pipeline.snapshot.value) == ["user"])


async def test_an_input_that_changes_nothing_makes_no_snapshot():
    inputs = Inputs(catalog(user=8001))
    async with running(inputs) as pipeline:
        first = await pipeline.snapshot.get()
        before = count("unchanged")
        inputs.policy.publish(replace(LOOPBACK, hidden_services=frozenset({"nobody"})))
        await eventually(lambda: count("unchanged") > before)

        assert pipeline.snapshot.value is first


@pytest.mark.shows("T-CA-12")
async def test_what_did_not_change_is_the_same_object():
    first = catalog(user=8001, order=8002)
    inputs = Inputs(first)
    async with running(inputs) as pipeline:
        old = await pipeline.snapshot.get()
        changed = catalog(user=8009, order=8002)
        changed = replace(changed, services={**changed.services, "order": first.services["order"]})
        inputs.catalog.publish(changed)
        await eventually(lambda: pipeline.snapshot.value is not old)
        new = pipeline.snapshot.value

    for type_url, name in [
        (TypeUrl.ENDPOINTS, "order"),
        (TypeUrl.CLUSTER, "user"),
        (TypeUrl.LISTENER, "default"),
    ]:
        assert old.resource(type_url, name) is new.resource(type_url, name)
    assert new.may_differ(old) == {TypeUrl.ENDPOINTS: {"user"}}


@pytest.mark.shows("P-118", "T-CA-03")
async def test_a_burst_of_inputs_becomes_few_snapshots():
    inputs = Inputs(catalog(user=8001), Pace(quiet=0.05, at_most=1.0))
    async with running(inputs) as pipeline:
        first = await pipeline.snapshot.get()
        for number in range(100):
            inputs.catalog.publish(catalog(user=8002 + number))
            await asyncio.sleep(0)
        last = str(8101).encode()
        await eventually(lambda: pipeline.snapshot.value is not first)
        await asyncio.sleep(0.1)

        assert pipeline.snapshot.value.sequence - first.sequence <= 2
        assert inputs.catalog.value.services["user"].instances[0].port == int(last)


@pytest.mark.shows("T-CA-13", "T-CA-14")
async def test_a_group_is_built_when_its_first_stream_joins():
    inputs = Inputs(catalog(user=8001, admin=19000))
    async with running(inputs) as pipeline:
        await pipeline.snapshot.get()
        with pipeline.join(proxy(19000)) as one, pipeline.join(proxy(19000)) as other:
            assert one is other
            await pipeline.newest(proxy(19000))
            assert one.snapshots.value is not pipeline.snapshot.value
            # No endpoint may point at the proxies' own admin port.
            codes = [problem.code for problem in one.snapshots.value.problems]
            assert codes == [Code.ENDPOINT_PORT_DENIED]
            assert pipeline.snapshot.value.problems == ()
            assert [problem.code for problem in pipeline.problems] == codes

            inputs.catalog.publish(catalog(user=8001))
            await eventually(lambda: clusters(one.snapshots.value) == ["user"])


@pytest.mark.shows("T-CA-15")
async def test_a_kind_without_streams_is_remembered_but_not_built():
    inputs = Inputs(catalog(user=8001))
    async with running(inputs) as pipeline:
        await pipeline.snapshot.get()
        with pipeline.join(proxy(19000)) as first:
            await pipeline.newest(proxy(19000))
        inputs.catalog.publish(catalog(order=8001))
        await eventually(lambda: clusters(pipeline.snapshot.value) == ["order"])
        assert clusters(first.snapshots.value) == ["user"]

        with pipeline.join(proxy(19000)) as again:
            assert again is first
            assert clusters(await pipeline.newest(proxy(19000))) == ["order"]
            assert clusters(again.snapshots.value) == ["order"]


async def test_two_versions_of_the_software_are_two_kinds_with_the_same_snapshot():
    inputs = Inputs(catalog(user=8001))
    async with running(inputs) as pipeline:
        await pipeline.snapshot.get()
        with pipeline.join(proxy(1, "envoy 1.40.0")) as new, pipeline.join(proxy(1, "envoy 1.36.0")) as old:
            assert new is not old
            await pipeline.newest(proxy(1))
            assert new.snapshots.value is old.snapshots.value


async def test_there_is_a_bound_to_kinds():
    inputs = Inputs(catalog(user=8001))
    pipeline = inputs.pipeline
    with contextlib.ExitStack() as stack:
        for number in range(1, MAX_KINDS + 1):
            stack.enter_context(pipeline.join(proxy(number)))
        with pytest.raises(TooManyKindsError), pipeline.join(proxy(60000)):
            pass
        # One that is there already has room.
        with pipeline.join(proxy(1)):
            pass
    async with running(inputs):
        with pipeline.join(proxy(60000)):
            assert clusters(await pipeline.newest(proxy(60000))) == ["user"]


@pytest.mark.shows("P-119", "T-CA-13", "T-LM-07")
async def test_a_build_that_fails_leaves_the_last_good_snapshot(monkeypatch, caplog):
    inputs = Inputs(catalog(user=8001))
    async with running(inputs) as pipeline:
        good = await pipeline.snapshot.get()
        before = count("failed")

        def fail(*_):
            raise ZeroDivisionError("a bug")

        with monkeypatch.context() as patch, caplog.at_level(logging.ERROR, "xds_server"):
            patch.setattr(Translator, "translating", fail)
            inputs.catalog.publish(catalog(order=8002))
            await eventually(lambda: count("failed") > before)
        assert pipeline.snapshot.value is good
        assert [record.message for record in caplog.records] == ["snapshot.failed"]
        assert "a bug" in caplog.records[0].fields["error"]

        inputs.catalog.publish(catalog(third=8003))
        await eventually(lambda: clusters(pipeline.snapshot.value) == ["third"])


async def test_catalog_and_policy_can_be_pinned_and_let_go():
    inputs = Inputs(catalog(user=8001))
    async with running(inputs) as pipeline:
        first = await pipeline.snapshot.get()
        inputs.catalog.publish(catalog(order=8001))
        await eventually(lambda: clusters(pipeline.snapshot.value) == ["order"])
        old = pipeline.history.get(first.sequence)

        pipeline.pin(old)
        await eventually(lambda: clusters(pipeline.snapshot.value) == ["user"])
        inputs.catalog.publish(catalog(third=8001))
        with pipeline.join(proxy(1)):
            assert clusters(await pipeline.newest(proxy(1))) == ["user"]
        again = pipeline.snapshot.value
        assert all(again.sets[one].version == first.sets[one].version for one in TypeUrl)

        pipeline.pin(None)
        await eventually(lambda: clusters(pipeline.snapshot.value) == ["third"])


def test_what_follows_an_older_snapshot_is_not_published():
    line = Line(Group(), Understanding())
    first, second = (render_of(name) for name in ("user", "order"))
    assert line.publish(first, module.EMPTY)

    before = count("overtaken")
    assert not line.publish(second, module.EMPTY)
    assert line.snapshot.value is first
    assert count("overtaken") == before + 1


def test_the_group_of_everyone_has_neither_an_admin_port_nor_clusters_of_its_own():
    """So its route table is the constant one, and a service more costs no other."""
    assert Group(admin_port=None, static_clusters=()) == module.EVERYONE
