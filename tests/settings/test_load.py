import re
from pathlib import Path

import pytest
import yaml

from xds_server.model.policy import (
    DEFAULT_LISTENER,
    CircuitBreakers,
    DownstreamTls,
    GatewayPolicy,
    HashKind,
    HashOn,
    LbPolicy,
    Listener,
    ListenerKind,
    OutlierDetection,
    Policy,
    Protocol,
    Route,
    ServicePolicy,
    UpstreamTls,
    WeightedService,
)
from xds_server.model.route import RouteMatch
from xds_server.model.secret import SecretFiles
from xds_server.settings import ServerTls, Settings, SettingsError, XdsSettings, load, show

EXAMPLE = Path(__file__).parents[2] / "deploy" / "xds-server.example.yaml"


def load_text(
    folder: Path, text: str, flags: dict[str, str | None] | None = None, **environ: str
) -> Settings:
    file = folder / "x.yaml"
    file.write_text(text)
    return load(flags=flags or {}, environ=environ, file=file)


def test_nothing_is_needed_to_start():
    found = load(flags={}, environ={}, file=None)

    assert found.consul.address == "http://127.0.0.1:8500"
    assert (found.xds.address, found.admin.address) == ("127.0.0.1:18000", "127.0.0.1:18001")
    assert found.policy.listeners == (DEFAULT_LISTENER,)
    assert found.policy.defaults == ServicePolicy()
    assert found.policy.hidden_services == {"consul", "xds-server"}
    assert found.policy.endpoints.allow_loopback
    assert found.policy.endpoints.deny_ports == {8300, 8301, 8302, 8500, 8501, 8502, 8503, 8600, 18000, 18001}
    assert set(found.origins.values()) == {"default"}


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "\ufeff", "{}"])
def test_a_file_with_nothing_in_it_means_the_defaults(tmp_path, text):
    found = load_text(tmp_path, text)

    assert found.policy == load(flags={}, environ={}, file=None).policy


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: does not exist"):
        load(flags={}, environ={}, file=tmp_path / "nowhere.yaml")


def test_a_file_without_permission_or_too_large_is_named(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"#" * (1024 * 1024 + 1))

    with pytest.raises(SettingsError, match=r"x\.yaml: is larger than 1024 kB"):
        load(flags={}, environ={}, file=tmp_path / "x.yaml")
    with pytest.raises(SettingsError, match="is not a regular file"):
        load(flags={}, environ={}, file=tmp_path)


def test_the_file_may_be_named_by_the_environment(tmp_path):
    (tmp_path / "x.yaml").write_text("xds: {address: 127.0.0.1:7}")

    found = load(flags={}, environ={"XDS_CONFIG": str(tmp_path / "x.yaml")}, file=None)

    assert (found.xds.port, found.file) == (7, tmp_path / "x.yaml")


def test_a_policy_is_laid_over_the_defaults_field_by_field(tmp_path):
    text = """
defaults:
  connect_timeout: 2s
  outlier_detection: {consecutive_5xx: 3, interval: 5s, base_ejection_time: 1m}
  circuit_breakers: {max_connections: 7}
services:
  user: {protocol: grpc, outlier_detection: {interval: 250ms}, circuit_breakers: {max_requests: 9}}
  none: {outlier_detection: false}
  bare: {}
"""

    policy = load_text(tmp_path, text).policy

    detection = OutlierDetection(consecutive_5xx=3, interval=5.0, base_ejection_time=60.0)
    assert policy.defaults == ServicePolicy(
        connect_timeout=2.0, outlier_detection=detection, circuit_breakers=CircuitBreakers(max_connections=7)
    )
    assert policy.services["user"] == ServicePolicy(
        protocol=Protocol.GRPC,
        connect_timeout=2.0,
        outlier_detection=OutlierDetection(consecutive_5xx=3, interval=0.25, base_ejection_time=60.0),
        circuit_breakers=CircuitBreakers(max_connections=7, max_requests=9),
    )
    assert policy.services["none"].outlier_detection is None
    assert policy.service("bare") == policy.service("other") == policy.defaults


def test_outlier_detection_that_is_off_by_default_comes_back_with_a_field(tmp_path):
    text = """
defaults: {outlier_detection: false}
services: {a: {outlier_detection: {interval: 1s}}, b: {outlier_detection: true}}
"""

    policy = load_text(tmp_path, text).policy

    assert policy.defaults.outlier_detection is None
    assert policy.services["a"].outlier_detection == OutlierDetection(interval=1.0)
    assert policy.services["b"].outlier_detection == OutlierDetection()


def test_every_field_of_outlier_detection_and_circuit_breakers_can_be_set(tmp_path):
    outlier = {
        name: True if "split" in name or "uneject" in name or "always" in name else 40
        for name in OutlierDetection.__dataclass_fields__
    }
    breakers = dict.fromkeys(CircuitBreakers.__dataclass_fields__, 0)
    text = yaml.safe_dump({"defaults": {"outlier_detection": outlier, "circuit_breakers": breakers}})

    policy = load_text(tmp_path, text).policy

    assert policy.defaults.outlier_detection == OutlierDetection(**outlier)
    assert policy.defaults.circuit_breakers == CircuitBreakers(**breakers)


def test_how_clients_are_treated_is_given_or_has_a_default(tmp_path):
    assert XdsSettings(host="a", port=1) == XdsSettings(
        host="a",
        port=1,
        max_streams=10_000,
        max_connection_age=1800.0,
        drain_time=3.0,
        max_request_size=16 * 2**20,
        match_node_id=False,
    )
    file = tmp_path / "x.yaml"
    file.write_text(
        "xds: {max_streams: 5, max_connection_age: 1h, drain_time: 0s, max_request_size: 640KiB,"
        " tls: {cert_file: c, key_file: k, client_ca_file: ca, match_node_id: true}}"
    )
    found = load(flags={}, environ={}, file=file)

    xds = found.xds
    assert (xds.max_streams, xds.max_connection_age, xds.drain_time) == (5, 3600.0, 0.0)
    assert (xds.max_request_size, xds.match_node_id) == (640 * 1024, True)
    shown = show(found)["xds"]
    assert (shown["max_connection_age"], shown["drain_time"]) == ("3600s", "0s")
    assert (shown["max_request_size"], shown["tls"]["match_node_id"]) == ("640KiB", True)
    assert found.origins["xds.max_streams"] == "file x.yaml:1"


def test_the_example_means_what_it_says():
    found = load(flags={}, environ={}, file=EXAMPLE)
    tls = EXAMPLE.parent / "tls"

    assert found.consul.address == "https://consul.example.com:8501"
    assert found.consul.token_file == Path("/run/secrets/consul-token")
    assert found.consul.tls.ca_file == tls / "consul-ca.pem"
    assert found.xds.tls == ServerTls(
        cert_file=tls / "xds.pem", key_file=tls / "xds.key", client_ca_file=tls / "proxies-ca.pem"
    )
    assert found.policy.services["session"].lb_policy is LbPolicy.RING_HASH
    assert found.policy.services["session"].hash_on == (
        HashOn(kind=HashKind.COOKIE, name="session"),
        HashOn(kind=HashKind.SOURCE_IP),
    )
    assert found.policy.services["payment"].tls == UpstreamTls(
        ca="internal-ca", sans=("payment.internal.example.com",), certificate="edge-client"
    )
    edge = "xds-server.example.yaml listeners[0]"
    assert found.policy.listeners[1:] == (
        Listener(
            name="edge",
            address="0.0.0.0",
            port=10443,
            tls=DownstreamTls(certificate="edge-cert"),
            routes=(
                Route(
                    hosts=("shop.example.com",),
                    match=RouteMatch.below("/orders"),
                    targets=(WeightedService(service="order"),),
                    source=f"{edge}.routes[0] (line 76)",
                ),
                Route(
                    hosts=("shop.example.com", "*.shop.example.com"),
                    match=RouteMatch.below("/"),
                    targets=(
                        WeightedService(service="shop", weight=90),
                        WeightedService(service="shop-next", weight=10),
                    ),
                    source=f"{edge}.routes[1] (line 79)",
                ),
            ),
            source=f"{edge} (line 71)",
        ),
        Listener(
            name="db",
            address="127.0.0.1",
            port=15432,
            kind=ListenerKind.TCP,
            targets=(WeightedService(service="db"),),
            source="xds-server.example.yaml listeners[1] (line 81)",
        ),
    )
    assert found.secret_files[0] == SecretFiles(
        name="edge-cert",
        cert_file=str(tls / "edge.pem"),
        key_file=str(tls / "edge.key"),
        source="xds-server.example.yaml secrets.edge-cert (line 87)",
    )
    assert found.policy.hidden_services == {"consul", "xds-server", "vault"}
    assert found.policy.gateways == {"ingress": GatewayPolicy(tls=DownstreamTls(certificate="edge-cert"))}
    assert found.consul.datacenters == found.policy.datacenters == ("dc2",)


def without_sources(policy: Policy) -> str:
    return repr(show(Settings(policy=policy)))


def test_what_is_shown_can_be_loaded_again(tmp_path):
    found = load(flags={}, environ={}, file=EXAMPLE)
    shown = show(found)
    for secret in shown["secrets"].values():
        for key, path in secret.items():
            secret[key] = str(Path(path).absolute())

    again = load_text(tmp_path, yaml.safe_dump(shown))

    assert without_sources(again.policy) == without_sources(found.policy)
    assert again.consul.wait == found.consul.wait
    assert again.policy.endpoints == found.policy.endpoints


def test_the_default_listener_can_move_or_go(tmp_path):
    moved = load_text(tmp_path, "default_listener: {address: '[::1]:81'}").policy.listeners
    gone = load_text(
        tmp_path,
        "{default_listener: false, listeners: [{name: default, address: '10.0.0.1:80', all_services: true}]}",
    ).policy.listeners

    assert [(one.name, one.address, one.port, one.all_services) for one in moved] == [
        ("default", "::1", 81, True)
    ]
    assert [(one.name, one.address) for one in gone] == [("default", "10.0.0.1")]


def test_services_may_be_discovered_on_demand(tmp_path):
    text = """
default_listener: {discovery: on_demand}
listeners:
  - {name: a, address: "0.0.0.0:81", all_services: true, routes: [{service: x}]}
  - {name: b, address: "0.0.0.0:82", discovery: on_demand, routes: [{service: x}]}
  - {name: c, address: "0.0.0.0:83", discovery: all, all_services: true}
  - name: d
    address: "0.0.0.0:84"
    discovery: on_demand
    all_services: true
    routes: [{hosts: ["*.a.test"], service: x}]
"""

    found = load_text(tmp_path, text)

    discoveries = {one.name: one.discovery.value for one in found.policy.listeners}
    lazy = "on_demand"
    assert discoveries == {"default": lazy, "a": "all", "b": lazy, "c": "all", "d": lazy}
    again = load_text(tmp_path, yaml.safe_dump(show(found)))
    assert {one.name: one.discovery.value for one in again.policy.listeners} == discoveries


def test_ports_in_use_are_denied_unless_allowed(tmp_path):
    text = """
consul: {address: "10.0.0.1:7500"}
xds: {address: "127.0.0.1:0"}
admin: {address: "127.0.0.1:7001"}
endpoints: {allow_ports: [8300, 8600], allow: ["10.0.0.0/8"], deny: ["10.1.2.3"]}
"""

    endpoints = load_text(tmp_path, text).policy.endpoints

    assert endpoints.deny_ports == {8301, 8302, 8500, 8501, 8502, 8503, 7500, 7001}
    assert endpoints.allow == ("10.0.0.0/8",)
    assert endpoints.deny == ("10.1.2.3/32",)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("consul: {address: 'http://localhost:8500'}", True),
        ("consul: {address: 'http://[::1]:8500'}", True),
        ("consul: {address: 'unix:///run/consul.sock'}", True),
        ("consul: {address: 'http://10.0.0.1:8500'}", False),
        ("{consul: {address: 'http://10.0.0.1:8500'}, catalog: c.yaml}", True),
        ("{consul: {address: 'http://10.0.0.1:8500'}, endpoints: {allow_loopback: true}}", True),
        ("endpoints: {allow_loopback: false}", False),
    ],
)
def test_loopback_instances_are_for_one_machine(tmp_path, text, allowed):
    assert load_text(tmp_path, text).policy.endpoints.allow_loopback is allowed


def test_paths_of_the_file_are_relative_to_it_and_those_of_flags_are_not(tmp_path):
    from_file = load_text(tmp_path, "catalog: c.yaml")
    from_flag = load_text(tmp_path, "catalog: c.yaml", {"catalog": "d.yaml"})

    assert from_file.catalog_file == tmp_path / "c.yaml"
    assert from_flag.catalog_file == Path("d.yaml")


def test_a_listener_may_have_a_time_to_live(tmp_path):
    text = """
listeners:
  - {name: a, address: "0.0.0.0:81", all_services: true, ttl: 90s}
  - {name: b, address: "0.0.0.0:82", all_services: true}
"""
    found = load_text(tmp_path, text)

    assert [one.ttl for one in found.policy.listeners] == [None, 90.0, None]
    again = load_text(tmp_path, yaml.safe_dump(show(found)))
    assert [one.ttl for one in again.policy.listeners] == [None, 90.0, None]


def test_how_this_server_is_found_in_consul_is_given(tmp_path):
    found = load_text(
        tmp_path, "consul: {register: false, advertise: 10.0.0.5:18000, remote_keep: 30s}"
    ).consul
    assert (found.register, found.advertise, found.remote_keep) == (False, ("10.0.0.5", 18000), 30.0)
    assert load_text(tmp_path, "{}").consul.register


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("consul: {advertise: 10.0.0.5}", "consul.advertise"),
        ("consul: {datacenters: [a/b]}", "cannot be the name of a datacenter"),
        ("consul: {datacenters: [dc2, dc2]}", "name each datacenter once"),
        ("consul: {datacenter: dc1, datacenters: [dc1]}", "is read already"),
        ("gateways: {in: {client_ca: mesh}}\nsecrets: {mesh: {ca_file: x}}", "needs certificate as well"),
        ("gateways: {in: {certificate: none}}", "gateways.in.certificate"),
        ("gateways: {in: {address: here}}", "gateways.in.address"),
        ("gateways: {a/b: {}}", "cannot be the name of a gateway service"),
    ],
)
def test_mistakes_about_consul_and_its_gateways_are_named(tmp_path, text, sentence):
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        load_text(tmp_path, text)
