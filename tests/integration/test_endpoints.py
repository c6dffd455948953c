"""Priorities, degraded instances, weights beside sidecars, maintenance, named ports, host names."""

from collections import Counter
from typing import Any

import pytest

from tests.rig.eventually import eventually
from tests.rig.load import Load
from tests.rig.name_server import NameServer
from tests.rig.near_world import NearWorld
from tests.rig.ports import free_port
from tests.rig.upstream import Upstream
from xds_server.model.catalog import Catalog, Instance, Service, Status, Weights
from xds_server.model.policy import Hostnames, OnWarning, ServicePolicy

pytestmark = pytest.mark.integration

RESOLVE = {"services": {"user": {"hostnames": "resolve"}}}


def instance(upstream: Upstream, status: Status = Status.PASSING, **fields: Any) -> Instance:
    given = {"node": "n1", "id": upstream.name, "address": upstream.host, "port": upstream.port, **fields}
    return Instance(statuses=(status,), **given)


def publish(near: NearWorld, *instances: Instance) -> None:
    near.inputs.catalog.publish(Catalog.of("dc1", [Service.of("user", instances)]))


async def states(near: NearWorld, *expected: str) -> None:
    """Wait until Envoy has these health states, in the order of the addresses."""

    async def found() -> list[str]:
        hosts = await near.envoy.hosts("user")
        return [hosts[address].eds for address in sorted(hosts)]

    await eventually(found, list(expected).__eq__)


async def shares(near: NearWorld, count: int) -> Counter[str]:
    """Send requests and give who has answered how many of them; none may fail."""
    async with Load(f"http://127.0.0.1:{near.http_port}/", host="user", pause=0.0) as load:
        await load.more(count)
    assert not load.failures
    return load.bodies()


async def test_another_datacenter_takes_over_only_when_none_here_is_healthy(near):
    here = [await near.upstream(f"here-{number}") for number in range(4)]
    there = await near.upstream("there")
    far = instance(there, datacenter="dc2")
    near.rule(datacenters=("dc2",))
    publish(near, far, *map(instance, here))
    await near.start_envoy()
    assert set(await shares(near, 80)) == {"here-0", "here-1", "here-2", "here-3"}

    async with Load(f"http://127.0.0.1:{near.http_port}/", host="user") as load:
        # With Envoy's own factor, the other datacenter would take 65 % of the requests now.
        sick = [instance(one, Status.CRITICAL) for one in here[1:]]
        publish(near, far, instance(here[0]), *sick)
        await eventually(lambda: near.envoy.stat("cluster.user.membership_healthy"), (2).__eq__)
        there.requests = 0
        assert set(await shares(near, 80)) == {"here-0"}
        assert there.requests == 0

        publish(near, far, instance(here[0], Status.CRITICAL), *sick)
        await load.until(lambda: there.requests > 50)

        publish(near, far, *map(instance, here))
        await load.until(lambda: all(one.requests > 50 for one in here))
        await eventually(lambda: near.envoy.stat("cluster.user.membership_healthy"), (5).__eq__)
        assert "there" not in await shares(near, 80)
    assert not load.failures


@pytest.mark.parametrize("mode", ["delta"])
async def test_degraded_instances_take_traffic_only_when_too_few_are_healthy(near, record_property):
    ups = [await near.upstream(f"user-{number}") for number in range(4)]
    near.rule({"user": ServicePolicy(on_warning=OnWarning.DEGRADED)})
    publish(near, *map(instance, ups[:3]), instance(ups[3], Status.WARNING))
    await near.start_envoy()

    # Three of four healthy times 1.4 is more than all there is to take (Envoy, "Degraded endpoints").
    assert set(await shares(near, 100)) == {"user-0", "user-1", "user-2"}

    publish(near, instance(ups[0]), *(instance(one, Status.WARNING) for one in ups[1:]))
    await eventually(lambda: near.envoy.stat("cluster.user.membership_degraded"), (3).__eq__)
    found = await shares(near, 1000)
    healthy = found["user-0"] / found.total()
    record_property("share of one healthy of four", round(healthy, 3))
    assert abs(healthy - 0.35) < 0.06  # a quarter times 1.4

    publish(near, *(instance(one, Status.WARNING) for one in ups))
    await eventually(lambda: near.envoy.stat("cluster.user.membership_degraded"), (4).__eq__)
    assert set(await shares(near, 100)) == {one.name for one in ups}


@pytest.mark.parametrize("mode", ["delta"])
async def test_a_named_port_has_a_cluster_of_its_own(near):
    up, metrics = await near.upstream("user"), await near.upstream("metrics")
    publish(near, instance(up, ports=(("http", up.port), ("metrics", metrics.port))))

    await near.start_envoy()

    assert list(await near.envoy.hosts("user")) == [up.address]
    assert list(await near.envoy.hosts("user:http")) == [up.address]
    assert list(await near.envoy.hosts("user:metrics")) == [metrics.address]


async def test_the_applications_weight_counts_beside_its_sidecars(delta_world):
    world = delta_world
    up = await world.instance("web", register=False)
    sidecar = {"Port": 21000, "Weights": {"Passing": 1, "Warning": 1}}
    body = {
        "Name": "web",
        "ID": "web-1",
        "Address": "127.0.0.1",
        "Port": up.port,
        "Weights": {"Passing": 5, "Warning": 2},
        "Connect": {"SidecarService": sidecar},
    }
    await world.consul.put("/v1/agent/service/register", body)
    (proxy,) = await world.consul.get("/v1/health/connect/web")
    assert proxy["Service"]["Weights"]["Passing"] == 1

    await world.start()

    hosts = await world.envoy.hosts("web")
    assert {address: host.weight for address, host in hosts.items()} == {up.address: 5}
    assert "web-sidecar-proxy" not in await world.envoy.clusters()


async def test_a_node_and_an_instance_in_maintenance_take_no_traffic(delta_world):
    world = delta_world
    ours = [await world.instance("user", f"user-{number}") for number in (1, 2)]
    other = await world.instance("user", "other", register=False)
    elsewhere = {"ID": "other", "Service": "user", "Address": "127.0.0.1", "Port": other.port}
    await world.consul.put(
        "/v1/catalog/register", {"Node": "far", "Address": "127.0.0.1", "Service": elsewhere}
    )
    await world.start()
    await world.serving("user", "user-1", "user-2", "other")

    async def sick() -> set[str]:
        hosts = await world.envoy.hosts("user")
        return {address for address, host in hosts.items() if host.eds == "UNHEALTHY"}

    async with world.load("user") as load:
        await world.consul.put("/v1/agent/service/maintenance/user-1?enable=true")
        await eventually(sick, {ours[0].address}.__eq__)
        await world.consul.put("/v1/agent/maintenance?enable=true")
        await eventually(sick, {one.address for one in ours}.__eq__)
        await load.more(20)  # what was under way
        before = [one.requests for one in ours]
        await load.more(100)
        assert [one.requests for one in ours] == before
        await world.consul.put("/v1/agent/maintenance?enable=false")
        await eventually(sick, {ours[0].address}.__eq__)
        await world.consul.put("/v1/agent/service/maintenance/user-1?enable=false")
        await load.until(lambda: all(one.requests > old for one, old in zip(ours, before, strict=True)))
    assert not load.failures


async def test_from_eds_to_dns_and_back_under_load(world):
    """A host name comes, has its health, and goes again: the cluster changes its kind twice."""
    await world.instance("user", "user-1")
    named = await world.instance("user", "named", register=False)
    await world.start(RESOLVE)
    assert await _kind(world) == "EDS"
    async with world.load("user") as load:
        await load.more(50)
        await world.register("user", named, address="localhost", status="passing")
        await load.until(lambda: named.requests > 20)
        assert await _kind(world) == "envoy.cluster.dns"

        await world.consul.set_status("named", "critical")
        await eventually(
            lambda: world.envoy.hosts("user"), lambda hosts: hosts[named.address].eds == "UNHEALTHY"
        )
        await load.more(20)  # what was under way
        before = named.requests
        await load.more(100)
        assert named.requests == before

        await world.consul.set_status("named", "passing")
        await load.until(lambda: named.requests > before)
        await world.consul.deregister("named")
        await eventually(lambda: _kind(world), "EDS".__eq__)
        await load.more(100)
    assert not load.failures
    assert len(await world.envoy.hosts("user")) == 1


async def test_a_name_that_leads_nowhere_costs_itself_only(delta_world):
    world = delta_world
    await world.instance("user", "user-1")
    lost = await world.instance("user", "lost", register=False)
    await world.start_server(RESOLVE)
    async with NameServer(address="") as dns:
        await world.start_envoy(amend=dns.amend)
        async with world.load("user") as load:
            await world.register("user", lost, address="nowhere.example")
            await eventually(lambda: _kind(world), "envoy.cluster.dns".__eq__)
            await eventually(lambda: dns.asked, bool)
            await load.more(100)
    assert not load.failures
    assert len(await world.envoy.hosts("user")) == 1


@pytest.mark.parametrize("mode", ["delta"])
async def test_a_new_cluster_does_not_send_to_the_sick_until_its_names_are_resolved(near):
    """Envoy takes a DNS cluster into use once one endpoint is resolved, which an IP address is at once."""
    named = await near.upstream("named")
    near.rule({"user": ServicePolicy(hostnames=Hostnames.RESOLVE)})
    sick = Instance(node="n1", id="sick", address="127.0.0.1", port=free_port(), statuses=(Status.CRITICAL,))

    async def weight() -> int:
        hosts = await near.envoy.hosts("user")
        return hosts[named.address].weight if named.address in hosts else 0

    async with NameServer(delay=0.2) as dns:
        publish(near, sick, instance(named, address="a.example.com"))
        await near.start_envoy(amend=dns.amend)
        async with Load(f"http://127.0.0.1:{near.http_port}/", host="user") as load:
            for number in range(2, 5):
                weights = Weights(passing=number)
                publish(near, sick, instance(named, address="a.example.com", weights=weights))
                await eventually(weight, number.__eq__)
                await load.more(20)
    assert dns.asked >= 4
    assert not load.failures


@pytest.mark.parametrize("mode", ["delta"])
async def test_a_name_server_that_says_nothing_leaves_the_cluster_that_was_there(near):
    user, order, second = [await near.upstream(name) for name in ("user", "order", "second")]
    near.rule({"user": ServicePolicy(hostnames=Hostnames.RESOLVE)})

    def feed(*orders: Upstream, **users: Any) -> None:
        services = [
            Service.of("user", [instance(user, **users)]),
            Service.of("order", [instance(one) for one in orders]),
        ]
        near.inputs.catalog.publish(Catalog.of("dc1", services))

    async with NameServer(silent=True) as dns:
        feed(order)
        await near.start_envoy(amend=dns.amend)
        async with Load(f"http://127.0.0.1:{near.http_port}/", host="user") as load:
            feed(order, address="a.example.com")
            await eventually(lambda: dns.asked, bool)
            # Meanwhile the endpoints of other services change as ever.
            feed(order, second, address="a.example.com")
            await eventually(lambda: near.envoy.hosts("order"), lambda hosts: second.address in hosts)
            assert await near.envoy.stat("cluster_manager.warming_clusters") == 1
            await load.more(50)
            dns.silent = False
            await eventually(lambda: near.envoy.stat("cluster_manager.warming_clusters"), (0).__eq__)
            await load.more(50)
    assert not load.failures


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["delta"])
async def test_a_name_server_that_says_nothing_delays_the_start_no_longer_than_it_is_asked(near):
    """Two queries, for IPv4 and for IPv6, are each sent twice, after 1 s and 2 s more."""
    user, order = await near.upstream("user"), await near.upstream("order")
    near.rule({"user": ServicePolicy(hostnames=Hostnames.RESOLVE)})
    services = [
        Service.of("user", [instance(user, address="a.example.com")]),
        Service.of("order", [instance(order)]),
    ]
    near.inputs.catalog.publish(Catalog.of("dc1", services))
    async with NameServer(silent=True) as dns:
        await near.start_envoy(amend=dns.amend, live_within=20.0)
        assert (await near.get("order")).body == "order"


async def _kind(world: Any) -> str:
    """Give the discovery type of the cluster `user` that is in use."""
    dump = await world.envoy.config_dump()
    active = dump["ClustersConfigDump"]["dynamic_active_clusters"]
    (cluster,) = [one["cluster"] for one in active if one["cluster"]["name"] == "user"]
    return cluster.get("type") or cluster["cluster_type"]["name"]
