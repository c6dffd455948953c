"""Gateways of Consul with a real Envoy: their listeners come from the config entry."""

import asyncio
import ssl

import pytest
import trustme

from tests.rig.eventually import eventually
from tests.rig.load import ask
from tests.rig.ports import free_port

pytestmark = pytest.mark.integration

ALL_HTTP = {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}}


def ingress(port, *services, **more):
    listener = {"Port": port, "Protocol": "http", "Services": list(services)}
    return {"Kind": "ingress-gateway", "Name": "ingress", "Listeners": [listener], **more}


async def test_an_ingress_gateway_serves_what_its_entry_says_and_follows_it(delta_world):
    port = free_port()
    await delta_world.instance("user")
    await delta_world.instance("order")
    await delta_world.consul.put("/v1/config", ALL_HTTP)
    await delta_world.consul.put("/v1/config", ingress(port, {"Name": "user", "Hosts": ["shop.test"]}))
    await delta_world.start_server()
    gateway = await delta_world.start_envoy(gateway="ingress")

    assert (await at(port, "shop.test")).body == "user"
    assert (await at(port, "order.ingress.test")).status == 404
    assert "order" not in await gateway.clusters()

    await delta_world.consul.put("/v1/config", ingress(port, {"Name": "order"}))

    await eventually(lambda: at(port, "order.ingress.test"), lambda answer: answer.body == "order")
    await eventually(lambda: at(port, "shop.test"), lambda answer: answer.status == 404)


async def test_what_a_router_says_of_a_service_holds_behind_the_gateway(delta_world):
    port = free_port()
    await delta_world.instance("user")
    await delta_world.instance("admin")
    await delta_world.consul.put("/v1/config", ALL_HTTP)
    route = {"Match": {"HTTP": {"PathPrefix": "/admin"}}, "Destination": {"Service": "admin"}}
    await delta_world.consul.put("/v1/config", {"Kind": "service-router", "Name": "user", "Routes": [route]})
    await delta_world.consul.put("/v1/config", ingress(port, {"Name": "user", "Hosts": ["shop.test"]}))
    await delta_world.start_server()
    await delta_world.start_envoy(gateway="ingress")

    assert (await at(port, "shop.test", path="/")).body == "user"
    assert (await at(port, "shop.test", path="/admin/x")).body == "admin"


async def test_a_terminating_gateway_opens_only_for_clients_it_knows(delta_world):
    port, mesh, outside = free_port(), trustme.CA(), trustme.CA()
    certificate = outside.issue_cert("api.billing.test")
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(serving)
    await delta_world.instance("billing", tls=serving)
    files = {
        name: delta_world.directory / f"{name}.pem" for name in ("billing-ca", "mesh-ca", "egress", "key")
    }
    outside.cert_pem.write_to_path(str(files["billing-ca"]))
    mesh.cert_pem.write_to_path(str(files["mesh-ca"]))
    own = mesh.issue_cert("egress.service.consul")
    own.cert_chain_pems[0].write_to_path(str(files["egress"]))
    own.private_key_pem.write_to_path(str(files["key"]))
    link = {"Name": "billing", "CAFile": str(files["billing-ca"]), "SNI": "api.billing.test"}
    entry = {"Kind": "terminating-gateway", "Name": "egress", "Services": [link]}
    await delta_world.consul.put("/v1/config", entry)
    await delta_world.start_server(
        {
            "gateways": {
                "egress": {"certificate": "egress", "client_ca": "mesh", "address": f"127.0.0.1:{port}"}
            },
            "secrets": {
                "egress": {"cert_file": str(files["egress"]), "key_file": str(files["key"])},
                "mesh": {"ca_file": str(files["mesh-ca"])},
            },
        }
    )
    await delta_world.start_envoy(gateway="egress")
    known = ssl.create_default_context(cafile=str(files["mesh-ca"]))
    known.check_hostname = False
    mesh.issue_cert("user.service.consul").configure_cert(known)
    unknown = ssl.create_default_context(cafile=str(files["mesh-ca"]))
    unknown.check_hostname = False

    assert "billing" in await over_tls(port, known, "billing.service.consul")
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await over_tls(port, unknown, "billing.service.consul")
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await over_tls(port, known, "other.service.consul")


async def at(port, host, path="/"):
    return await ask(f"http://127.0.0.1:{port}{path}", host=host)


async def over_tls(port, context, name):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: billing\r\nConnection: close\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        return (head + await reader.read()).decode()
    finally:
        writer.close()
