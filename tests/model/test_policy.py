from xds_server.model.policy import Policy, Protocol, ServicePolicy
from xds_server.model.types import TypeUrl


def test_a_service_without_a_policy_of_its_own_has_the_defaults() -> None:
    grpc = ServicePolicy(protocol=Protocol.GRPC)
    policy = Policy(services={"greeter": grpc})

    assert policy.service("greeter") is grpc
    assert policy.service("user") is policy.defaults


def test_consul_and_this_server_are_hidden() -> None:
    assert Policy().hidden_services == {"consul", "xds-server"}


def test_a_type_has_a_short_name_for_people() -> None:
    assert [type_url.short for type_url in TypeUrl] == [
        "Cluster",
        "ClusterLoadAssignment",
        "Listener",
        "RouteConfiguration",
        "ScopedRouteConfiguration",
        "VirtualHost",
        "Secret",
        "TypedExtensionConfig",
        "Runtime",
    ]
