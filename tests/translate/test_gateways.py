"""Gateways of Consul: what their entries open, and what stays closed."""

from dataclasses import replace
from typing import TypeVar
from unittest.mock import Mock

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from tests.rig.catalogs import SECRETS, catalog, instance, service
from xds_server.model.catalog import Catalog
from xds_server.model.entries import (
    ConfigEntries,
    Gateway,
    IngressGateway,
    IngressListener,
    IngressService,
    LinkedService,
    TerminatingGateway,
)
from xds_server.model.policy import DownstreamTls, GatewayPolicy, Policy, Protocol, ServicePolicy
from xds_server.model.problem import Code
from xds_server.model.proxy import Group
from xds_server.model.types import TypeUrl
from xds_server.translate import Translation, Translator, Understanding
from xds_server.translate.rules import envoy_routes

T = TypeVar("T", bound=Message)

GROUP = Group(gateway="gate")
MUTUAL = GatewayPolicy(tls=DownstreamTls(certificate="edge", client_ca="ca"), port=8443)
TCP_DB = {"db": ServicePolicy(protocol=Protocol.TCP)}


def world(gateway: Gateway | None) -> Catalog:
    services = [service(name, instance(f"{name}-1")) for name in ("db", "user", "order")]
    gateways = {"gate": gateway} if gateway else {}
    return replace(catalog(*services), entries=ConfigEntries(gateways=gateways))


def made(gateway: Gateway | None, policy: Policy | None = None) -> Translation:
    return Translator(GROUP).translate(world(gateway), policy or Policy(services=TCP_DB), SECRETS)


def messages(translation: Translation, type_url: TypeUrl, kind: type[T]) -> dict[str, T]:
    found = {}
    for draft in translation.drafts[type_url].values():
        found[draft.name] = kind()
        assert AnyMessage.FromString(draft.packed).Unpack(found[draft.name])
    return found


def names(translation: Translation, type_url: TypeUrl) -> list[str]:
    return list(translation.drafts[type_url])


def http(*services: IngressService, port: int = 8080) -> IngressGateway:
    return IngressGateway(
        name="gate", listeners=(IngressListener(port=port, protocol="http", services=services),)
    )


def codes(translation: Translation) -> list[Code]:
    return [problem.code for problem in translation.problems]


def test_an_ingress_gateway_has_its_own_listeners_and_only_the_clusters_behind_them() -> None:
    found = made(http(IngressService(name="user", hosts=("shop.test",)), IngressService(name="order")))

    assert names(found, TypeUrl.LISTENER) == ["ingress-8080"]
    assert names(found, TypeUrl.CLUSTER) == ["order", "user"]
    (route,) = messages(found, TypeUrl.ROUTES, RouteConfiguration).values()
    hosts = {domain: host.routes[0].route.cluster for host in route.virtual_hosts for domain in host.domains}
    assert hosts == {"shop.test": "user", "order.ingress.*": "order"}


def test_the_routes_to_a_service_are_made_once_for_all_gateways(monkeypatch: pytest.MonkeyPatch) -> None:
    make = Mock(wraps=envoy_routes)
    monkeypatch.setattr("xds_server.translate.routes.envoy_routes", make)
    gateways = {name: http(IngressService(name="user", hosts=(f"{name}.test",))) for name in ("a", "b")}
    everything = replace(world(None), entries=ConfigEntries(gateways=gateways))
    understanding = Understanding()

    for name in gateways:
        translator = Translator(Group(gateway=name), understanding)
        found = translator.translate(everything, Policy(), SECRETS)
        (route,) = messages(found, TypeUrl.ROUTES, RouteConfiguration).values()
        (host,) = route.virtual_hosts
        assert (host.domains, [one.route.cluster for one in host.routes]) == ([f"{name}.test"], ["user"])

    make.assert_called_once()


def test_a_star_means_every_http_service() -> None:
    found = made(http(IngressService(name="*")))
    assert names(found, TypeUrl.CLUSTER) == ["order", "user"]


def test_a_tcp_listener_leads_to_its_service() -> None:
    listener = IngressListener(port=5432, protocol="tcp", services=(IngressService(name="db"),))
    found = made(IngressGateway(name="gate", listeners=(listener,)))
    assert (names(found, TypeUrl.LISTENER), names(found, TypeUrl.CLUSTER)) == (["ingress-5432"], ["db"])


def test_tls_without_a_certificate_stays_closed() -> None:
    plain = http(IngressService(name="user"))
    asks = replace(plain, listeners=(replace(plain.listeners[0], tls=True),), tls=True)

    closed = made(asks)
    assert (names(closed, TypeUrl.LISTENER), codes(closed)) == ([], [Code.GATEWAY_CLOSED])

    policy = Policy(gateways={"gate": GatewayPolicy(tls=DownstreamTls(certificate="edge"))})
    opened = made(asks, policy)
    (listener,) = messages(opened, TypeUrl.LISTENER, Listener).values()
    assert listener.filter_chains[0].transport_socket.name == "envoy.transport_sockets.tls"


def test_a_gateway_without_an_entry_is_closed_and_said_to_be() -> None:
    found = made(None)
    assert (names(found, TypeUrl.LISTENER), names(found, TypeUrl.CLUSTER)) == ([], [])
    assert codes(found) == [Code.GATEWAY_CLOSED]


def test_a_terminating_gateway_is_closed_to_clients_that_nobody_knows() -> None:
    entry = TerminatingGateway(name="gate", services=(LinkedService(name="user"),))
    open_to_all = Policy(gateways={"gate": GatewayPolicy(tls=DownstreamTls(certificate="edge"))})
    for policy in (Policy(), open_to_all):
        found = made(entry, policy)
        assert (names(found, TypeUrl.LISTENER), codes(found)) == ([], [Code.GATEWAY_CLOSED])


def test_a_terminating_gateway_tells_services_apart_by_the_server_name() -> None:
    links = (
        LinkedService(name="db"),
        LinkedService(name="user", ca_file="/etc/ca.pem", sni="user.example.com"),
    )
    policy = Policy(services=TCP_DB, gateways={"gate": MUTUAL})

    found = made(TerminatingGateway(name="gate", services=links), policy)

    (listener,) = messages(found, TypeUrl.LISTENER, Listener).values()
    chains = {chain.name: list(chain.filter_chain_match.server_names) for chain in listener.filter_chains}
    assert chains["db"] == ["db", "db.service.consul", "db.service.dc1.consul"]
    assert [one.name for one in listener.listener_filters] == ["envoy.filters.listener.tls_inspector"]
    assert all(chain.transport_socket.name for chain in listener.filter_chains)
    user = messages(found, TypeUrl.CLUSTER, Cluster)["user"]
    context = UpstreamTlsContext()
    user.transport_socket.typed_config.Unpack(context)
    assert context.sni == "user.example.com"
    assert context.common_tls_context.validation_context.trusted_ca.filename == "/etc/ca.pem"
    assert "order" not in names(found, TypeUrl.CLUSTER)


def test_a_link_whose_certificate_could_be_anyones_is_left_out() -> None:
    links = (LinkedService(name="user", ca_file="/etc/ca.pem"), LinkedService(name="order"))
    found = made(TerminatingGateway(name="gate", services=links), Policy(gateways={"gate": MUTUAL}))
    assert names(found, TypeUrl.CLUSTER) == ["order"]
    assert codes(found) == [Code.GATEWAY_LINK]


def test_a_link_of_its_own_goes_before_the_one_for_all() -> None:
    links = (
        LinkedService(name="*", ca_file="/etc/all.pem", sni="all.example.com"),
        LinkedService(name="user"),
    )
    found = made(TerminatingGateway(name="gate", services=links), Policy(gateways={"gate": MUTUAL}))
    clusters = messages(found, TypeUrl.CLUSTER, Cluster)
    assert set(clusters) == {"db", "order", "user"}
    assert not clusters["user"].HasField("transport_socket")
    assert clusters["order"].HasField("transport_socket")


def test_other_proxies_are_not_concerned() -> None:
    found = Translator(Group()).translate(world(http(IngressService(name="user"))), Policy(), SECRETS)
    assert names(found, TypeUrl.LISTENER) == ["default"]
