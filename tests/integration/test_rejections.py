"""What a real Envoy rejects, what it makes of the rest, and what happens next."""

import asyncio

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from google.protobuf.duration_pb2 import Duration

from tests.rig.conversation import Rule
from tests.rig.eventually import eventually
from tests.rig.meddling import meddling, unloadable, without_metadata
from tests.rig.xds_messages import Request, Response
from xds_server import telemetry
from xds_server.model.problem import Code
from xds_server.model.types import TypeUrl
from xds_server.protocol import machine
from xds_server.translate.packing import draft

pytestmark = pytest.mark.integration

CDS = TypeUrl.CLUSTER


BAD = unloadable("bad")

MENDED = draft(CDS, "bad", Cluster(name="bad", type=Cluster.STATIC))


@pytest.fixture
def meddle(monkeypatch, near):
    """Add to what is served from the next change on; that change is published, too."""
    return meddling(monkeypatch, near.inputs.pipeline)


def refusals(near):
    return [
        event
        for event in near.recorder.streams()[-1].events
        if isinstance(event, Request) and event.error is not None
    ]


def nacks():
    return telemetry.REGISTRY.get_sample_value("xds_nacks_total", {"type": "Cluster"}) or 0.0


@pytest.mark.shows("P-030", "P-031", "P-032", "P-141", "T-NK-01", "T-NK-06", "T-OR-21")
async def test_a_bad_cluster_beside_a_good_one(near, meddle):
    user, order, late = [await near.upstream(name) for name in ("user", "order", "late")]
    near.feed(user=[user.port])
    await near.start_envoy()
    before = nacks()

    meddle(BAD)
    near.feed(user=[user.port], order=[order.port])

    # Envoy rejects the response for the bad cluster, and applies the good one.
    (refusal,) = await eventually(lambda: refusals(near))
    assert "bad" in refusal.error
    assert refusal.type == CDS
    await eventually(lambda: near.get("order"), lambda answer: answer.body == "order")
    assert nacks() == before + 1
    assert await near.envoy.stat("cluster_manager.cds.update_rejected") == 1
    assert "bad" not in await near.envoy.clusters()

    # The endpoints of all others, and new clusters, go on.
    near.feed(user=[late.port], order=[order.port], late=[late.port])
    await eventually(lambda: near.get("user"), lambda answer: answer.body == "late")
    await eventually(lambda: near.get("late"), lambda answer: answer.body == "late")
    assert len(refusals(near)) == 1

    # It is mended, and taken.
    meddle(MENDED)
    near.feed(user=[user.port], order=[order.port])
    await eventually(near.envoy.clusters, lambda found: "bad" in found and "late" not in found)
    assert len(refusals(near)) == 1
    assert nacks() == before + 1


INVALID = draft(CDS, "invalid", Cluster(name="invalid", type=Cluster.EDS, connect_timeout=Duration()))
"""Breaks one of Envoy's rules for fields, for which Envoy applies nothing of the whole response."""


@pytest.mark.shows("P-030", "P-032", "T-NK-06", "T-OR-21")
async def test_an_invalid_cluster_costs_a_new_envoy_no_other(near, meddle):
    user = await near.upstream("user")
    meddle(INVALID)
    near.feed(user=[user.port])
    near.recorder.excuse("what was in bad company is sent once more", Rule.REJECTED, Rule.NEED)
    await near.start_envoy()

    await eventually(lambda: near.get("user"), lambda answer: answer.body == "user")
    (refusal,) = refusals(near)
    assert "invalid" in refusal.error
    assert set(await near.envoy.clusters()) == {"xds_cluster", "user"}


@pytest.mark.shows("P-030", "T-NK-01", "T-NK-04")
async def test_what_was_rejected_is_replaced_by_what_was_accepted_for_all_that_come(near, meddle):
    user, order = await near.upstream("user"), await near.upstream("order")
    meddle(MENDED)
    near.feed(user=[user.port])
    await near.start_envoy(amend=without_metadata)
    meddle(BAD)
    near.feed(user=[user.port], order=[order.port])
    await eventually(lambda: refusals(near))
    await eventually(lambda: near.get("order"), lambda answer: answer.body == "order")
    first = near.recorder.streams()[0]
    assert len({one.items["bad"].version for one in sent(first, CDS) if "bad" in one.items}) == 2
    await near.start_envoy(node="edge-2", amend=without_metadata)
    second = near.recorder.streams()[1]
    (clusters,) = sent(second, CDS)
    assert clusters.items["bad"].version == sent(first, CDS)[0].items["bad"].version
    assert await near.envoy.stat("cluster_manager.cds.update_rejected") == 0
    assert not [one for one in second.events if isinstance(one, Request) and one.error]


THIRTY = [f"s{number:02}" for number in range(30)]


@pytest.mark.shows("P-030", "P-031", "T-OR-21")
async def test_one_bad_cluster_among_thirty_new_ones(near, meddle, record_property):
    user = await near.upstream("user")
    near.feed(user=[user.port])
    await near.start_envoy(amend=without_metadata)
    meddle(unloadable("s17"))
    loop = asyncio.get_running_loop()
    started = loop.time()
    near.feed(user=[user.port], **{name: [user.port] for name in THIRTY})
    good = {"xds_cluster", "user", *THIRTY} - {"s17"}
    await eventually(near.envoy.clusters, lambda found: good <= found.keys())
    record_property("converged_after_s", round(loop.time() - started, 2))
    # Those that come later get all but that one, at once and without a word.
    second = await near.start_envoy(node="edge-2", amend=without_metadata)
    assert good <= (await second.clusters()).keys()
    assert await second.stat("cluster_manager.cds.update_rejected") == 0
    (problem,) = rejections(near)
    assert problem.source == 'consul service "s17"'
    assert "edge-1" in problem.sentence
    near.recorder.excuse("what was in bad company is sent once more", Rule.REJECTED, Rule.NEED)
    near.recorder.excuse("a rejected cluster does not hold up routes (P-097)", Rule.ROUTES)
    responses = sent(near.recorder.streams()[0], CDS)
    record_property("responses", len(responses) - 1)
    assert len(responses) - 1 <= 3


@pytest.mark.shows("P-030", "P-031", "T-OR-21")
async def test_two_bad_clusters_are_found_without_a_word_of_their_names(
    near, meddle, monkeypatch, record_property
):
    monkeypatch.setattr(machine, "named_by", lambda *_: frozenset())
    user = await near.upstream("user")
    near.feed(user=[user.port])
    await near.start_envoy(amend=without_metadata)
    bad = {"s05", "s23"}
    meddle(*map(unloadable, sorted(bad)))
    near.feed(user=[user.port], **{name: [user.port] for name in THIRTY})
    good = {"xds_cluster", "user", *THIRTY} - bad
    await eventually(near.envoy.clusters, lambda found: good <= found.keys())
    sources = {f'consul service "{name}"' for name in bad}
    await eventually(lambda: {one.source for one in rejections(near)}, lambda found: found == sources)
    near.recorder.excuse("what was in bad company is sent once more", Rule.REJECTED, Rule.NEED)
    near.recorder.excuse("a rejected cluster does not hold up routes (P-097)", Rule.ROUTES)
    responses = sent(near.recorder.streams()[0], CDS)
    record_property("responses", len(responses) - 1)
    assert len(responses) - 1 <= 2 * 2 * 5 + 3
    second = await near.start_envoy(node="edge-2", amend=without_metadata)
    assert good <= (await second.clusters()).keys()


def rejections(near):
    return [one for one in near.inputs.pipeline.problems if one.code is Code.RESOURCE_REJECTED]


def sent(stream, type_url):
    return [one for one in stream.events if isinstance(one, Response) and one.type == type_url]
