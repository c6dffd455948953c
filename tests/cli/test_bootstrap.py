import json
from datetime import timedelta

import pytest
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.config_source_pb2 import ApiConfigSource
from envoy.extensions.config.validators.minimum_clusters.v3.minimum_clusters_pb2 import (
    MinimumClustersValidator,
)
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import SubjectAltNameMatcher
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext
from google.protobuf.json_format import ParseDict

from tests.cli.invoke import sentence, xds_server
from xds_server.protocol.node import proxy_of


def bootstrap(*options):
    """Give the message that the command prints; a field that Envoy does not know is an error."""
    result = xds_server("bootstrap", "--id", "edge-1", "--cluster", "edge", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    return ParseDict(json.loads(result.stdout), Bootstrap())


def addresses(message):
    (cluster,) = message.static_resources.clusters
    (group,) = cluster.load_assignment.endpoints
    sockets = [one.endpoint.address.socket_address for one in group.lb_endpoints]
    return cluster, [(one.address, one.port_value) for one in sockets]


def channel_tls(message):
    (cluster,) = message.static_resources.clusters
    context = UpstreamTlsContext()
    assert cluster.transport_socket.typed_config.Unpack(context)
    return context


@pytest.mark.parametrize(
    ("options", "api"),
    [
        ((), ApiConfigSource.DELTA_GRPC),
        (("--mode", "delta"), ApiConfigSource.DELTA_GRPC),
        (("--mode", "sotw"), ApiConfigSource.GRPC),
    ],
)
def test_the_variant(options, api):
    dynamic = bootstrap(*options).dynamic_resources

    assert dynamic.ads_config.api_type == api
    assert dynamic.ads_config.set_node_on_first_message_only
    assert dynamic.cds_config.HasField("ads")
    assert dynamic.lds_config.HasField("ads")


def test_the_node_is_who_this_server_takes_it_for():
    proxy = proxy_of(bootstrap("--admin-port", "19123").node, delta=True)

    assert (proxy.id, proxy.cluster, proxy.group.admin_port) == ("edge-1", "edge", 19123)


def test_the_admin_interface_is_on_loopback():
    admin = bootstrap().admin.address.socket_address

    assert (admin.address, admin.port_value) == ("127.0.0.1", 19000)


def test_one_server_on_this_machine_is_the_default():
    cluster, servers = addresses(bootstrap())

    assert servers == [("127.0.0.1", 18000)]
    assert cluster.type == Cluster.STATIC


def test_several_servers_are_endpoints_of_one_cluster():
    cluster, servers = addresses(bootstrap("--xds", "10.0.0.5:18000", "--xds", "10.0.0.6:18001"))

    assert servers == [("10.0.0.5", 18000), ("10.0.0.6", 18001)]
    assert cluster.type == Cluster.STATIC


@pytest.mark.parametrize("others", [(), ("--xds", "10.0.0.5:18000")])
def test_a_hostname_is_looked_up(others):
    cluster, servers = addresses(bootstrap("--xds", "xds.example.com:18000", *others))

    assert servers[0] == ("xds.example.com", 18000)
    assert cluster.type == Cluster.STRICT_DNS


def test_an_ipv6_address_is_in_brackets():
    cluster, servers = addresses(bootstrap("--xds", "[fd00::5]:18000"))

    assert servers == [("fd00::5", 18000)]
    assert cluster.type == Cluster.STATIC


@pytest.mark.parametrize("address", ["xds", "xds:", ":18000", "xds:0", "xds:65536", "xds:http", "xds:١٨٠"])
def test_what_is_no_address(address):
    result = xds_server("bootstrap", "--id", "a", "--cluster", "b", "--xds", address)

    assert result.exit_code == 2
    assert sentence(result).endswith(f"{address!r} is not HOST:PORT, as in 10.0.0.5:18000")


def test_without_tls_there_is_none():
    (cluster,) = bootstrap().static_resources.clusters

    assert not cluster.HasField("transport_socket")


def test_tls_verifies_the_name_of_the_server():
    context = channel_tls(bootstrap("--xds", "xds.example.com:18000", "--tls-ca", "/etc/ca.pem"))
    validation = context.common_tls_context.validation_context
    (name,) = validation.match_typed_subject_alt_names

    assert context.sni == "xds.example.com"
    assert validation.trusted_ca.filename == "/etc/ca.pem"
    assert (name.san_type, name.matcher.exact) == (SubjectAltNameMatcher.DNS, "xds.example.com")
    assert not context.common_tls_context.tls_certificates


def test_tls_to_an_address_verifies_that():
    context = channel_tls(bootstrap("--tls-ca", "/etc/ca.pem"))
    (name,) = context.common_tls_context.validation_context.match_typed_subject_alt_names

    assert context.sni == ""
    assert (name.san_type, name.matcher.exact) == (SubjectAltNameMatcher.IP_ADDRESS, "127.0.0.1")


def test_tls_with_a_name_and_a_certificate_of_its_own():
    options = ("--tls-ca", "ca", "--tls-server-name", "xds", "--tls-cert", "cert", "--tls-key", "key")
    context = channel_tls(bootstrap(*options))
    (certificate,) = context.common_tls_context.tls_certificates

    assert context.sni == "xds"
    assert (certificate.certificate_chain.filename, certificate.private_key.filename) == ("cert", "key")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tls-cert", "c", "--tls-key", "k"), "need --tls-ca"),
        (("--tls-server-name", "xds"), "need --tls-ca"),
        (("--tls-ca", "ca", "--tls-cert", "c"), "--tls-cert and --tls-key go together"),
        (("--tls-ca", "ca", "--tls-key", "k"), "--tls-cert and --tls-key go together"),
        (("--mode", "rest"), "'rest' is not one of 'delta', 'sotw'"),
        (("--admin-port", "0"), "0 is not in the range"),
    ],
)
def test_options_that_do_not_fit(options, said):
    result = xds_server("bootstrap", "--id", "a", "--cluster", "b", *options)

    assert result.exit_code == 2
    assert said in sentence(result)


@pytest.mark.parametrize("left_out", ["--id", "--cluster"])
def test_who_it_is_has_to_be_said(left_out):
    given = [part for option in ({"--id", "--cluster"} - {left_out}) for part in (option, "x")]
    result = xds_server("bootstrap", *given)

    assert result.exit_code == 2
    assert f"Missing option '{left_out}'" in sentence(result)


def test_load_is_reported_where_that_is_asked_for():
    assert not bootstrap().HasField("cluster_manager")

    source = bootstrap("--load-stats").cluster_manager.load_stats_config

    assert source.api_type == ApiConfigSource.GRPC
    assert source.grpc_services[0].envoy_grpc.cluster_name == "xds_cluster"


@pytest.mark.parametrize(
    ("options", "bound"),
    [
        ((), 1),
        (("--min-clusters", "7"), 7),
        (("--min-clusters", "0"), None),
        (("--gateway", "ingress"), None),
        (("--gateway", "ingress", "--min-clusters", "2"), 2),
    ],
)
def test_the_envoy_guards_its_clusters(options, bound):
    found = []
    for one in bootstrap(*options).dynamic_resources.ads_config.config_validators:
        validator = MinimumClustersValidator()
        assert one.typed_config.Unpack(validator)
        found.append(validator.min_clusters_num)
    assert found == ([] if bound is None else [bound])


def test_a_fleet_does_not_come_back_all_at_once():
    (service,) = bootstrap().dynamic_resources.ads_config.grpc_services
    pauses = service.envoy_grpc.retry_policy.retry_back_off

    assert (pauses.base_interval.ToTimedelta(), pauses.max_interval.ToTimedelta()) == (
        timedelta(seconds=0.5),
        timedelta(seconds=10),
    )


# --- gRPC ------------------------------------------------------------------------------------------------


def grpc_bootstrap(*options):
    result = xds_server("bootstrap", "--grpc", "--id", "order-1", "--cluster", "order", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


@pytest.mark.shows("P-133", "P-135")
def test_what_grpc_is_told():
    assert grpc_bootstrap() == {
        "xds_servers": [
            {
                "server_uri": "127.0.0.1:18000",
                "channel_creds": [{"type": "insecure"}],
                "server_features": ["xds_v3"],
            }
        ],
        "node": {"id": "order-1", "cluster": "order"},
        "server_listener_resource_name_template": "grpc/server?xds.resource.listening_address=%s",
    }


@pytest.mark.shows("P-145")
def test_grpc_tries_several_servers_in_order():
    servers = grpc_bootstrap("--xds", "xds.example.com:18000", "--xds", "[fd00::5]:18001")["xds_servers"]

    assert [one["server_uri"] for one in servers] == ["xds.example.com:18000", "[fd00::5]:18001"]


@pytest.mark.parametrize(
    ("options", "files"),
    [
        ((), {}),
        (
            ("--tls-cert", "cert", "--tls-key", "key"),
            {"certificate_file": "cert", "private_key_file": "key"},
        ),
    ],
)
def test_grpc_with_tls_never_falls_back_to_plain_text(options, files):
    servers = grpc_bootstrap("--xds", "a:1", "--xds", "b:2", "--tls-ca", "ca", *options)["xds_servers"]

    expected = [{"type": "tls", "config": {"ca_certificate_file": "ca", **files}}]
    assert [one["channel_creds"] for one in servers] == [expected, expected]


@pytest.mark.parametrize(
    ("text", "locality"),
    [
        ("eu/eu-1/rack-7", {"region": "eu", "zone": "eu-1", "sub_zone": "rack-7"}),
        ("eu", {"region": "eu"}),
        ("/eu-1", {"zone": "eu-1"}),
    ],
)
def test_where_the_client_runs(text, locality):
    assert grpc_bootstrap("--locality", text)["node"]["locality"] == locality
    envoy = bootstrap("--locality", text).node.locality
    assert {field.name: value for field, value in envoy.ListFields()} == locality


def test_a_locality_has_three_words_at_the_most():
    result = xds_server("bootstrap", "--id", "a", "--cluster", "b", "--locality", "a/b/c/d")

    assert result.exit_code == 2
    assert "'a/b/c/d' has more than region, zone and sub-zone" in sentence(result)


@pytest.mark.parametrize(
    "options",
    [
        ("--mode", "delta"),
        ("--admin-port", "19000"),
        ("--admin-address", "127.0.0.1"),
        ("--load-stats",),
        ("--min-clusters", "1"),
        ("--tls-server-name", "xds", "--tls-ca", "ca"),
    ],
)
def test_options_of_envoys_are_not_for_grpc(options):
    result = xds_server("bootstrap", "--grpc", "--id", "a", "--cluster", "b", *options)

    assert result.exit_code == 2
    assert sentence(result) == f"Error: {options[0]} is for Envoys; leave it out with --grpc"
