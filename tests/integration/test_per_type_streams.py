"""A real Envoy that fetches each type over a stream of its own, without ADS or beside it."""

import ssl

import pytest
import trustme

from tests.rig.eventually import eventually
from tests.rig.load import ask
from tests.rig.ports import free_port
from xds_server.model.secret import Secret, Secrets
from xds_server.model.types import TypeUrl
from xds_server.translate import names

pytestmark = pytest.mark.integration

API_TYPES = {"delta": "DELTA_GRPC", "sotw": "GRPC"}


def source(mode):
    """Give a config source of this server's, over a stream for the type alone."""
    service = {"envoy_grpc": {"cluster_name": names.XDS_CLUSTER}}
    api = {"api_type": API_TYPES[mode], "transport_api_version": "V3", "grpc_services": [service]}
    return {"api_config_source": api, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}


def listener(port, mode, *, tls=False):
    """Give a static listener whose routes (and certificate) are to be fetched."""
    router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
        "HttpConnectionManager",
        "stat_prefix": "static",
        "rds": {"route_config_name": "default", "config_source": source(mode)},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    chain = {"filters": [{"name": "envoy.http_connection_manager", "typed_config": manager}]}
    if tls:
        certificates = [{"name": "edge", "sds_config": source(mode)}]
        context = {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificate_sds_secret_configs": certificates},
        }
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"name": f"static-{port}", "address": address, "filter_chains": [chain]}


async def sessions(near, *types):
    """Wait until there is a stream for each of these sets of types, and no other."""

    def subscribed():
        return sorted(sorted(one.machine.types) for one in near.serving.fleet.sessions)

    await eventually(subscribed, sorted(sorted(one) for one in types).__eq__)


@pytest.mark.shows("P-001", "P-003")
async def test_clusters_and_listeners_by_streams_of_their_own_and_the_rest_over_ads(near):
    def amend(config):
        for key in ("cds_config", "lds_config"):
            config["dynamic_resources"][key] = source(near.mode)

    user, order = await near.upstream("user"), await near.upstream("order")
    near.feed(user=[user.port])
    await near.start_envoy(amend=amend)
    assert (await near.get("user")).body == "user"
    await sessions(near, [TypeUrl.CLUSTER], [TypeUrl.LISTENER], [TypeUrl.ENDPOINTS, TypeUrl.ROUTES])

    near.feed(user=[order.port], order=[order.port])

    for host in ("user", "order"):
        await eventually(lambda host=host: near.get(host), lambda answer: answer.body == "order")
    assert await near.envoy.waits() == []


@pytest.mark.shows("P-001", "P-003")
async def test_endpoints_routes_and_secrets_by_streams_of_their_own_and_no_ads(near):
    port = free_port()

    def amend(config):
        del config["dynamic_resources"]
        static = config["static_resources"]
        static["clusters"].append(
            {
                "name": "user",
                "type": "EDS",
                "connect_timeout": "1s",
                "eds_cluster_config": {"eds_config": source(near.mode)},
            }
        )
        static["listeners"] = [listener(near.http_port, near.mode), listener(port, near.mode, tls=True)]

    user, other = await near.upstream("user"), await near.upstream("other")
    near.feed(user=[user.port])
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    secret = Secret(name="edge", certificate_chain=chain, private_key=issued.private_key_pem.bytes())
    near.inputs.secrets.publish(Secrets(by_name={"edge": secret}))
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    await near.start_envoy(amend=amend)
    await sessions(near, [TypeUrl.ENDPOINTS], [TypeUrl.ROUTES], [TypeUrl.SECRET])
    assert (await near.get("user")).body == "user"
    answer = await ask(f"https://127.0.0.1:{port}/", host="user", tls=trust)
    assert answer.body == "user"

    near.feed(user=[other.port])

    await eventually(lambda: near.get("user"), lambda answer: answer.body == "other")
    assert await near.envoy.waits() == []
