"""What goes in which order to a real Envoy, and that it never waits in vain."""

import asyncio
from types import MappingProxyType

import pytest

from tests.rig.eventually import eventually
from tests.rig.pem import Authority
from tests.rig.xds_messages import Request, Response
from xds_server.model.policy import Protocol, ServicePolicy, UpstreamTls
from xds_server.model.secret import Secret, Secrets
from xds_server.model.types import TypeUrl

pytestmark = pytest.mark.integration

CDS, EDS, LDS, RDS, SDS = (
    TypeUrl.CLUSTER,
    TypeUrl.ENDPOINTS,
    TypeUrl.LISTENER,
    TypeUrl.ROUTES,
    TypeUrl.SECRET,
)
SLOW = ServicePolicy(connect_timeout=1.0)
SLOWER = ServicePolicy(connect_timeout=2.0)


def events(near, stream=-1):
    return near.recorder.streams()[stream].events


def responses(near, since=0):
    """Give what was sent on the newest stream, from the event `since` on."""
    return [event for event in events(near)[since:] if isinstance(event, Response)]


def answer_to(near, response):
    """Give the request that acknowledges a response."""
    answer = next(
        event
        for event in events(near)
        if isinstance(event, Request) and (event.type, event.nonce) == (response.type, response.nonce)
    )
    assert answer.error is None
    return answer


def acknowledged_after(near, response):
    """Give the seconds until a response was acknowledged."""
    return answer_to(near, response).at - response.at


def took(near):
    """Give the seconds from the first question to the newest message."""
    return events(near)[-1].at - events(near)[0].at


async def modified(near, count=1):
    await eventually(lambda: near.envoy.stat("cluster_manager.cluster_modified"), lambda n: n >= count)
    await warm(near)


async def warm(near):
    await eventually(lambda: near.envoy.stat("cluster_manager.warming_clusters"), (0).__eq__, within=1.0)


@pytest.mark.shows("P-090", "P-107", "T-OR-01")
async def test_a_cold_start_goes_clusters_endpoints_listeners_routes(near, record_property):
    user, order = await near.upstream("user"), await near.upstream("order")
    near.feed(user=[user.port], order=[order.port])
    await near.start_envoy()
    record_property("complete after, seconds", round(took(near), 3))
    assert took(near) < 1
    assert (await near.get("user")).body == "user"
    assert [one.type for one in responses(near)] == [CDS, EDS, LDS, RDS]
    assert [set(one.items) for one in responses(near)[:2]] == 2 * [{"order", "user"}]


@pytest.mark.shows("P-091", "T-OR-02", "T-OR-03")
async def test_the_endpoints_of_a_changed_cluster_follow_it_though_they_are_the_same(near):
    user, order = await near.upstream("user"), await near.upstream("order")
    near.feed(user=[user.port], order=[order.port])
    await near.start_envoy()
    before = len(events(near))
    near.rule({"user": SLOW})
    await modified(near)
    await eventually(lambda: answered(near))
    clusters, endpoints = responses(near, before)
    assert (clusters.type, endpoints.type) == (CDS, EDS)
    assert set(endpoints.items) == {"user"}
    assert acknowledged_after(near, clusters) < 1
    # Envoy's ACK of a cluster comes when it is warm; its endpoints have not waited for that.
    assert clusters.order < endpoints.order < answer_to(near, clusters).order
    assert (await near.get("user")).body == "user"


@pytest.mark.shows("P-082", "P-099", "T-OR-10")
async def test_a_cluster_that_was_removed_and_comes_back_gets_its_endpoints_again(near):
    user, order = await near.upstream("user"), await near.upstream("order")
    near.feed(user=[user.port], order=[order.port])
    await near.start_envoy()
    near.feed(order=[order.port])
    await eventually(near.envoy.clusters, lambda found: "user" not in found)
    before = len(events(near))
    near.feed(user=[user.port], order=[order.port])
    await eventually(lambda: near.get("user"), lambda answer: answer.body == "user", within=1.0)
    assert [set(one.items) for one in responses(near, before) if one.type == EDS] == [{"user"}]


@pytest.mark.shows("T-OR-12", "T-SW-24")
async def test_endpoints_that_change_are_all_that_is_sent(near):
    one, two, order = [await near.upstream(name) for name in ("one", "two", "order")]
    near.feed(user=[one.port], order=[order.port])
    await near.start_envoy()
    before = len(events(near))
    for port in (two.port, one.port, two.port):
        near.feed(user=[port], order=[order.port])
        await eventually(
            lambda: near.envoy.hosts("user"), lambda hosts, port=port: list(hosts) == [f"127.0.0.1:{port}"]
        )
    assert (await near.get("user")).body == "two"
    sent = responses(near, before)
    assert [(response.type, set(response.items)) for response in sent] == 3 * [(EDS, {"user"})]


@pytest.mark.shows("P-065", "P-066", "T-OR-13")
async def test_clusters_without_instances_hold_nothing_up(near):
    user = await near.upstream("user")
    near.feed(user=[user.port], empty=[])
    await near.start_envoy()
    assert took(near) < 1
    assert (await near.get("user")).body == "user"
    near.feed(user=[user.port], empty=[], bare=[])
    clusters = await eventually(near.envoy.clusters, lambda found: "bare" in found, within=1.0)
    await warm(near)
    assert clusters["empty"] == clusters["bare"] == {}
    assert (await near.get("bare")).status == 503


@pytest.mark.shows("T-OR-14")
async def test_a_secret_of_two_clusters_does_not_hold_up_the_one_that_changes(near):
    authority = Authority()
    near.inputs.secrets.publish(ca(authority))
    user, order = await near.upstream("user"), await near.upstream("order")
    near.feed(user=[user.port], order=[order.port])
    tls = UpstreamTls(ca="ca", sans=("user.test",))
    both = {"user": ServicePolicy(tls=tls), "order": ServicePolicy(tls=tls)}
    near.rule(both)
    await near.start_envoy()
    near.rule({**both, "user": ServicePolicy(tls=tls, connect_timeout=1.0)})
    await modified(near)
    before = await near.envoy.stats("sds.ca.*update_success")
    assert before
    near.inputs.secrets.publish(ca(Authority()))
    after = await eventually(lambda: near.envoy.stats("sds.ca.*update_success"), lambda now: now != before)
    assert after.keys() == before.keys()
    await warm(near)


@pytest.mark.shows("T-OR-17", "T-OR-20")
@pytest.mark.parametrize("changes", [1, 2], ids=["changed once", "changed twice"])
async def test_a_cluster_that_changes_while_two_are_warming(near, changes):
    user, order = await near.upstream("user"), await near.upstream("order")
    near.feed(user=[user.port], order=[order.port])
    near.way.request_delay = 0.15
    await near.start_envoy(live_within=None)
    await eventually(lambda: near.recorder.streams() and responses(near))
    # The clusters are there, their endpoints are not: the question for them is still on its way.
    for policy in (SLOW, SLOWER)[:changes]:
        near.rule({"user": policy})
        await asyncio.sleep(0.05)
    assert [one.type for one in responses(near)] == [CDS]
    near.way.request_delay = 0.0
    await near.envoy.live(within=1.0)
    await modified(near)
    dump = await near.envoy.config_dump()
    clusters = {one["cluster"]["name"]: one["cluster"] for one in active_clusters(dump)}
    assert clusters["user"]["connect_timeout"] == f"{changes}s"
    for name in ("user", "order"):
        assert (await near.get(name)).body == name


@pytest.mark.shows("P-089", "T-OR-19")
async def test_the_snapshot_moves_on_between_clusters_and_the_question_for_endpoints(near):
    user, order, late = [await near.upstream(name) for name in ("user", "order", "late")]
    near.feed(user=[user.port], order=[order.port])
    near.way.request_delay = 0.15
    await near.start_envoy(live_within=None)
    await eventually(lambda: near.recorder.streams() and responses(near))
    near.feed(user=[user.port], order=[order.port], late=[late.port])
    await near.envoy.live(within=2.0)
    near.way.request_delay = 0.0
    await eventually(lambda: near.get("late"), lambda answer: answer.body == "late", within=2.0)
    sent = responses(near)
    assert next(set(one.items) for one in sent if one.type == EDS) == {"user", "order"}
    assert "late" not in sent[0].items


@pytest.mark.shows("T-OR-18")
async def test_a_service_that_loses_its_last_instance_keeps_its_cluster(near):
    near.rule({"echo": ServicePolicy(protocol=Protocol.GRPC)})
    user = await near.upstream("user")
    near.feed(user=[user.port], echo=[user.port])
    await near.start_envoy()
    before = await near.envoy.config_dump()
    near.feed(user=[user.port], echo=[])
    await eventually(lambda: near.envoy.hosts("echo"), {}.__eq__)
    assert active_clusters(await near.envoy.config_dump()) == active_clusters(before)
    assert "http2_protocol_options" in str(active_clusters(before))


@pytest.mark.shows("P-091", "T-RC-03", "T-RC-14")
async def test_a_cluster_that_changed_while_the_server_was_away_gets_its_endpoints(near):
    user, order = await near.upstream("user"), await near.upstream("order")
    near.feed(user=[user.port], order=[order.port])
    await near.start_envoy()
    await away(near, lambda: near.rule({"user": SLOW}))
    await modified(near)
    await eventually(lambda: answered(near))
    sent = responses(near)
    clusters = next(one for one in sent if one.type == CDS)
    assert any(one.type == EDS and "user" in one.items and one.order > clusters.order for one in sent)
    assert acknowledged_after(near, clusters) < 1
    assert (await near.get("user")).body == "user"


@pytest.mark.shows("P-078", "T-RC-05")
async def test_a_cluster_that_left_while_the_server_was_away_leaves(near):
    user, order = await near.upstream("user"), await near.upstream("order")
    near.feed(user=[user.port], order=[order.port])
    await near.start_envoy()
    await away(near, lambda: near.feed(order=[order.port]))
    await eventually(near.envoy.clusters, lambda found: "user" not in found)
    if near.mode == "delta":
        assert [one.removed for one in responses(near) if one.type == CDS][-1] == ("user",)
    assert (await near.get("order")).body == "order"
    await near.envoy.updates()


async def away(near, change):
    """Break the stream, let something change, and wait until the Envoy has come back."""
    known = len(near.recorder.streams())
    near.way.closed = True
    await near.way.cut()
    change()
    near.way.closed = False
    await eventually(lambda: len(near.recorder.streams()) > known and responses(near), within=20.0)


def answered(near):
    asked = {(one.type, one.nonce) for one in events(near) if isinstance(one, Request)}
    return {(one.type, one.nonce) for one in responses(near)} <= asked


def active_clusters(dump):
    """Give the clusters of xDS without when they came and by which version."""
    found = dump["ClustersConfigDump"].get("dynamic_active_clusters", ())
    return sorted(({"cluster": one["cluster"]} for one in found), key=lambda one: one["cluster"]["name"])


def ca(authority):
    return Secrets(by_name=MappingProxyType({"ca": Secret(name="ca", trusted_ca=authority.pem)}))
