"""One virtual host finds most services by their name, and never anything else by what a client calls it."""

import asyncio
import contextlib

import grpc
import pytest

from tests.rig.eventually import eventually
from tests.rig.ports import free_port

pytestmark = pytest.mark.integration

NOBODY = (503, "no service with this host name is in the catalog\n")

# What leads to no service, whatever is on the Envoy.
BAD_HOSTS = (
    "nobody",
    "nobody:10000",
    "nobody.service.consul",
    "user.service.dc2.consul",
    "user.service.consul.service.consul",
    "user.",
    ".user",
    "user..service.consul",
    ".service.consul",
    "xds_cluster",
    "XDS_Cluster",
    "xds_cluster:80",
    "xds_cluster:",
    "xds_cluster:x",
    "xds_cluster.service.consul",
    "Xds_Cluster.Service.dc1.Consul:10000",
    "other-static",
    "other-static.service.consul:1",
    "db",
    "db:5432",
    "db.service.dc1.consul",
    "user@canary",
    "user%40canary",
    "user@canary:80",
    "user:admin:80",
    "user:80:80",
    "[::1]",
    "[::1]:80",
    "[user]",
    "127.0.0.1",
    "user/../db",
    "user, db",
    "us er",
    "*",
    "u*",
    "user\x7f",
    "caf\u00e9",
    "-",
    "x" * 129,
    "x" * 600 + ".service.consul",
    "x" * 20_000,
)
GOOD_HOSTS = (
    "user",
    "USER",
    "user:80",
    "User:10000",
    "user.service.consul",
    "user.SERVICE.consul:10000",
    "user.service.dc1.consul",
    "user.service.dc1.consul:1",
)


async def test_a_host_header_names_exposed_services_and_nothing_else(world):
    port = free_port()
    listener = {"name": "db", "address": f"127.0.0.1:{port}", "protocol": "tcp", "service": "db"}
    await world.instance("user")
    await world.instance("user", "user-canary", meta={"xds-subset": "canary"})
    db = await world.instance("db")
    await world.start_server({"services": {"db": {"protocol": "tcp"}}, "listeners": [listener]})
    await world.start_envoy(amend=lambda config: with_cluster(config, "other-static", db.port))
    await world.serving("user", "user")
    assert set(await world.envoy.clusters()) == {
        "db",
        "other-static",
        "user",
        "user@canary",
        "xds_cluster",
    }
    answers = await asyncio.gather(*(said(world.http_port, host) for host in (*GOOD_HOSTS, *BAD_HOSTS)))
    found = dict(zip((*GOOD_HOSTS, *BAD_HOSTS), answers, strict=True))
    for host in GOOD_HOSTS:
        answer = found[host]
        assert answer in {(200, "user"), (200, "user-canary")}, (host, answer)
    for host in BAD_HOSTS:
        # Envoy itself refuses some of them, and says so with 400; nobody else is asked.
        answer = found[host]
        assert answer == NOBODY or answer[0] == 400, (host, answer)
    assert "service-by-name" in str(await world.envoy.config_dump())
    await world.envoy.updates()
    assert (await world.server.metrics()).total("xds_nacks_total") == 0


async def test_an_envoy_that_does_not_tell_its_own_clusters_has_none_of_them_named(delta_world):
    secret = await delta_world.instance("user")
    await delta_world.start_server()
    await delta_world.start_envoy(
        amend=lambda config: silent(with_cluster(config, "other-static", secret.port))
    )
    await delta_world.serving("user", "user")
    for host in ("other-static", "xds_cluster", "nobody"):
        assert await said(delta_world.http_port, host) == NOBODY


async def test_a_service_that_comes_and_goes_changes_no_route(delta_world):
    await delta_world.instance("user")
    await delta_world.start()
    loaded = "http.default.rds.default.config_reload"
    before = await delta_world.envoy.stat(loaded)
    await delta_world.instance("late")
    await delta_world.serving("late", "late")
    await delta_world.serving("late.service.consul:80", "late")
    assert await delta_world.envoy.stat(loaded) == before
    await delta_world.consul.deregister("late")
    await eventually(lambda: said(delta_world.http_port, "late"), NOBODY.__eq__)
    assert await said(delta_world.http_port, "late.service.consul:80") == NOBODY
    await delta_world.envoy.updates()


async def test_grpc_clients_are_told_that_there_is_no_such_service(delta_world):
    await delta_world.instance("user")
    await delta_world.start()
    options = [("grpc.default_authority", "nobody")]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{delta_world.http_port}", options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/test.Echo/Say")(b"hello", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert caught.value.details() == NOBODY[1]


def with_cluster(config, name, port):
    """Give a bootstrap one more cluster, and let the node tell of it."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    config["static_resources"]["clusters"].append(
        {"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": endpoints}}
    )
    config["node"]["metadata"]["static_clusters"].append(name)
    return config


def silent(config):
    del config["node"]["metadata"]["static_clusters"]


async def said(port, host):
    """Give status and body of the answer to a Host header as it stands."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = head.partition("content-length: ")[2].partition("\r")[0]
    body = await reader.readexactly(int(length or 0))
    writer.close()
    return int(head.split(" ", 2)[1]), body.decode()
