"""A service that has left: its clusters are what they were, without endpoints, and nothing leads to them."""

from dataclasses import replace

import pytest
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.any_pb2 import Any

from tests.rig.catalogs import catalog, drafts, instance, service
from xds_server.model.catalog import Service
from xds_server.model.policy import (
    DEFAULT_LISTENER,
    Claim,
    Discovery,
    Listener,
    ListenerKind,
    Policy,
    Protocol,
    Registrations,
    Route,
    ServicePolicy,
    WeightedService,
)
from xds_server.model.proxy import Client, Group
from xds_server.model.secret import Secrets
from xds_server.model.types import TypeUrl
from xds_server.snapshot import EMPTY, build
from xds_server.translate import Translator

META = (("xds-lb", "random"), ("xds-protocol", "http2"), ("xds-subset", "v1"))
USER = Service.of("user", [replace(instance("user-1"), meta=META)])
BOTH = catalog(USER, service("order"))
GONE = catalog(replace(USER, departed=True), service("order"))


def snapshot(services, policy=Policy(), group=Group()):  # noqa: B008 - both are frozen
    made = Translator(group).translate(services, policy, Secrets())
    return build(made.drafts, made.problems, EMPTY, made.derived)


@pytest.mark.parametrize("client", Client)
@pytest.mark.parametrize("discovery", Discovery)
def test_its_clusters_stay_byte_by_byte_and_have_no_endpoint(client, discovery):
    policy = Policy(
        listeners=(replace(DEFAULT_LISTENER, discovery=discovery),),
        services={"order": ServicePolicy(protocol=Protocol.HTTP2)},
    )
    group = Group(client=client, on_demand=discovery is Discovery.ON_DEMAND)
    before, after = snapshot(BOTH, policy, group), snapshot(GONE, policy, group)
    clusters = before.sets[TypeUrl.CLUSTER].by_name
    assert len(clusters) > 2  # the subset has one as well
    assert {name: one.version for name, one in after.sets[TypeUrl.CLUSTER].by_name.items()} == {
        name: one.version for name, one in clusters.items()
    }
    for name in clusters.keys() - {"order"}:
        assert not endpoints(after, name).endpoints
    assert endpoints(after, "order").endpoints
    # No listener, route or virtual host names one of them.
    for type_url in (TypeUrl.LISTENER, TypeUrl.ROUTES, TypeUrl.VIRTUAL_HOST):
        for one in after.sets[type_url].by_name.values():
            assert {ref.name for ref in one.references if ref.type is TypeUrl.CLUSTER} <= {"order"}


def endpoints(made, name):
    message = ClusterLoadAssignment()
    Any.FromString(made.resource(TypeUrl.ENDPOINTS, name).packed).Unpack(message)
    return message


def test_what_it_asked_for_is_free_for_others():
    claim = Registrations(claims=(Claim(hosts=("shop.test",), services=("*",)),))
    old = Service.of("old", [replace(instance("old-1"), meta=(("xds-route", "shop.test/"),))])
    new = Service.of("new", [replace(instance("new-1"), meta=(("xds-route", "shop.test/"),))])
    policy = Policy(registrations=claim)
    translator = Translator(Group())
    translator.translate(catalog(old), policy, Secrets())
    made = translator.translate(catalog(replace(old, departed=True), new), policy, Secrets())
    assert not [one for one in made.problems if one.code == "route-contested"]


def test_routes_and_tcp_listeners_to_it_tell_that_it_is_missing():
    route = Route(hosts=("shop.test",), targets=(WeightedService(service="user"),), source="routes[0]")
    edge = Listener(name="edge", address="0.0.0.0", port=8080, routes=(route,))
    tcp = Listener(
        name="db",
        address="0.0.0.0",
        port=5432,
        kind=ListenerKind.TCP,
        targets=(WeightedService(service="user"),),
    )
    made = Translator(Group()).translate(GONE, Policy(listeners=(edge, tcp)), Secrets())
    assert {one.code for one in made.problems} >= {"route-unknown-service", "listener-unknown-service"}
    assert "db" not in drafts(made, TypeUrl.LISTENER)
