import json

import pytest
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.config_source_pb2 import ApiConfigSource
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import SubjectAltNameMatcher
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext
from google.protobuf.json_format import ParseDict

from tests.cli.invoke import sentence, xds_server
from xds_server.transport.node import proxy_of


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
    proxy = proxy_of(bootstrap("--admin-port", "19123").node)

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
