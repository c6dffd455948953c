from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToJson

from tests.rig.pem import Authority, write
from tests.rig.static_bootstrap import ask_envoy
from xds_server.translate.bootstrap import BootstrapOptions, ChannelTls, bootstrap
from xds_server.translate.names import XDS_CLUSTER
from xds_server.translate.render import to_dict

ONE = (("127.0.0.1", 18000),)


def options(servers: tuple[tuple[str, int], ...] = ONE, *, delta: bool = True) -> BootstrapOptions:
    return BootstrapOptions(id="edge-1", cluster="edge", servers=servers, delta=delta)


def tls(folder: Path, *, server_name: str, certificate: bool) -> ChannelTls:
    authority = Authority()
    chain, key = authority.pair()
    write(folder, ca=authority.pem, proxy=chain, key=key)
    files = (
        {"cert_file": str(folder / "proxy.pem"), "key_file": str(folder / "key.pem")} if certificate else {}
    )
    return ChannelTls(ca_file=str(folder / "ca.pem"), server_name=server_name, **files)


@pytest.mark.parametrize("delta", [True, False])
@pytest.mark.parametrize(
    "servers",
    [ONE, (("127.0.0.1", 18000), ("::1", 18000)), (("xds-1.example.com", 18000), ("10.0.0.1", 18000))],
)
def test_envoy_takes_it(servers: tuple[tuple[str, int], ...], tmp_path: Path, *, delta: bool) -> None:
    answer = ask_envoy(MessageToJson(bootstrap(options(servers, delta=delta))), tmp_path)

    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "deprecated" not in answer.stderr.lower(), answer.stderr


@pytest.mark.parametrize("certificate", [True, False])
@pytest.mark.parametrize("server_name", ["xds.example.com", "10.0.0.1"])
def test_envoy_takes_it_with_tls(tmp_path: Path, server_name: str, *, certificate: bool) -> None:
    channel = tls(tmp_path, server_name=server_name, certificate=certificate)
    message = bootstrap(BootstrapOptions(id="edge-1", cluster="edge", servers=ONE, tls=channel))

    answer = ask_envoy(MessageToJson(message), tmp_path)

    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_replica_is_an_endpoint_of_one_cluster() -> None:
    shown = to_dict(bootstrap(options((("10.0.0.1", 18000), ("10.0.0.2", 18001)))))

    (cluster,) = shown["static_resources"]["clusters"]
    (group,) = cluster["load_assignment"]["endpoints"]
    found = [one["endpoint"]["address"]["socket_address"] for one in group["lb_endpoints"]]
    assert cluster["name"] == XDS_CLUSTER
    assert [(one["address"], one["port_value"]) for one in found] == [
        ("10.0.0.1", 18000),
        ("10.0.0.2", 18001),
    ]


def test_what_an_envoy_is_told_before_all_else() -> None:
    shown = to_dict(bootstrap(options()))

    metadata = {"envoy_admin_port": 19000.0, "static_clusters": ["xds_cluster"]}
    assert shown["node"] == {"id": "edge-1", "cluster": "edge", "metadata": metadata}
    assert [one["name"] for one in shown["static_resources"]["clusters"]] == metadata["static_clusters"]
    assert shown["admin"]["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 19000}
    assert shown["dynamic_resources"]["ads_config"]["api_type"] == "DELTA_GRPC"
    assert shown["dynamic_resources"]["ads_config"]["set_node_on_first_message_only"] is True
    for source in ("cds_config", "lds_config"):
        # Without it an Envoy that gets no answer turns ready after 15 seconds, with nothing.
        assert shown["dynamic_resources"][source]["initial_fetch_timeout"] == "0s"


def test_only_the_variant_differs() -> None:
    delta, sotw = (to_dict(bootstrap(options(delta=delta))) for delta in (True, False))

    assert sotw["dynamic_resources"]["ads_config"].pop("api_type") == "GRPC"
    assert delta["dynamic_resources"]["ads_config"].pop("api_type") == "DELTA_GRPC"
    assert sotw == delta
