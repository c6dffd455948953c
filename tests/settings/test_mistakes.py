from pathlib import Path

import pytest

from xds_server.settings import Settings, SettingsError, load


def load_text(
    folder: Path, text: str, flags: dict[str, str | None] | None = None, **environ: str
) -> Settings:
    file = folder / "x.yaml"
    file.write_text(text)
    return load(flags=flags or {}, environ=environ, file=file)


def complaints(
    folder: Path, text: str, flags: dict[str, str | None] | None = None, **environ: str
) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_text(folder, text, flags, **environ)
    assert str(caught.value) == "\n".join(caught.value.findings)
    return [finding.replace(f"{folder}/", "") for finding in caught.value.findings]


WRONG = [
    ("xds: {addres: x}", 'x.yaml:1: xds.addres: is not a key here; did you mean "address"?'),
    ("xds: {address: 18000}", "x.yaml:1: xds.address: expected text without control characters"),
    ("xds: {address: localhost}", 'x.yaml:1: xds.address: "localhost" does not end in a port'),
    ("xds: {address: 'a:65536'}", "from 0 to 65535"),
    ("xds: {address: '::1:80'}", "needs brackets"),
    ("xds: {address: '[1.2.3.4]:80'}", "no IPv6 address in its brackets"),
    ("xds: {address: '1.2.3:80'}", "does not begin with an IP address or a host name"),
    ("xds: {address: 'a b:80'}", "does not begin with an IP address or a host name"),
    ("xds: {address: '[fe80::1%eth0]:80'}", "no IPv6 address in its brackets"),
    (
        "{xds: {address: 'a:1'}, admin: {address: 'a:1'}}",
        "admin.address: is the address of xds already (a:1)",
    ),
    ("xds: {max_streams: 0}", "x.yaml:1: xds.max_streams: expected"),
    ("xds: {max_connection_age: 9ms}", "xds.max_connection_age: must be from 1 to 86400 seconds"),
    ("xds: {drain_time: never}", "xds.drain_time: expected a duration"),
    ("xds: {max_request_size: 16}", "xds.max_request_size: expected a size such as 512KiB or 16MiB"),
    ("xds: {max_request_size: 1KiB}", 'xds.max_request_size: "1KiB" is not from 64KiB to 1024MiB'),
    ("xds: {max_request_size: 2000MiB}", 'xds.max_request_size: "2000MiB" is not from 64KiB to 1024MiB'),
    (
        "xds: {tls: {cert_file: a, key_file: b, match_node_id: true}}",
        "xds.tls.match_node_id: needs client_ca_file as well",
    ),
    ("admin: {tls: {match_node_id: true}}", "admin.tls.match_node_id: is not a key here"),
    ("xds: {tls: {cert_file: a}}", "xds.tls.key_file: is required"),
    ("consul: {address: 'ftp://a:1'}", "unknown scheme"),
    ("consul: {address: 'http://user:pass@a:1'}", "holds a password"),
    ("consul: {address: 'http://a:1/b?c'}", "no plain prefix"),
    ("consul: {address: 'http://a:1/../b'}", "no plain prefix"),
    ("consul: {address: 'unix://run/consul.sock'}", "whole path of the socket"),
    ("consul: {wait: 11m}", "consul.wait: must be from 1 to 600 seconds"),
    ("consul: {tls: {cert_file: a}}", "consul.tls.cert_file: needs key_file as well"),
    ("log: {level: verbose}", '"verbose" is not known; use one of debug, error, info, warning'),
    ("defaults: {protocol: http}", '"http" is not known; did you mean "http2"?'),
    ("defaults: {connect_timeout: 61m}", "must be from 0.001 to 3600 seconds"),
    ("defaults: {connect_timeout: 0s}", "must be from 0.001 to 3600 seconds"),
    ("defaults: {panic_threshold: 101}", "a whole number from 0 to 100"),
    ("defaults: {outlier_detection: {max_ejection_percent: 101}}", "from 0 to 100"),
    ("defaults: {outlier_detection: {consecutive_5xx: 0}}", "from 1 to 4294967295"),
    ("defaults: {outlier_detection: {interval: 0.0005}}", "must be from 0.001"),
    (
        "defaults: {outlier_detection: {max_ejection_time: 10s}}",
        "must not be shorter than base_ejection_time (30s)",
    ),
    ("defaults: {outlier_detection: on}", 'found the text "on"'),
    ("defaults: {circuit_breakers: {max_retries: -1}}", "from 0 to 4294967295"),
    (
        "defaults: {hash_on: [{}]}",
        "defaults.hash_on[0]: needs exactly one of header, cookie, query and source_ip: true",
    ),
    ("defaults: {hash_on: [{header: a, cookie: b}]}", "needs exactly one"),
    ("defaults: {hash_on: [{source_ip: false}]}", "needs exactly one"),
    (
        "defaults: {hash_on: [{header: 'x y'}]}",
        'defaults.hash_on[0].header: "x y" cannot be the name of a header',
    ),
    ("defaults: {hash_on: [{header: a, ttl: 5s}]}", "hash_on[0].ttl: is for a cookie only; remove it"),
    ("defaults: {hash_on: [{source_ip: true, path: /}]}", "hash_on[0].path: is for a cookie only"),
    ("defaults: {hash_on: [{cookie: a, path: /x;Domain=y}]}", "hash_on[0].path: is not a path"),
    ("defaults: {hash_on: [{cookie: a, path: x}]}", "hash_on[0].path: is not a path"),
    ("defaults: {ring_size: {minimum: 9, maximum: 8}}", "ring_size: minimum must not be more than maximum"),
    ("defaults: {ring_size: {maximum: 8388609}}", "from 1 to 8388608"),
    ("defaults: {choices: 1}", "a whole number from 2 to"),
    ("defaults: {request_timeout: 25h}", "must be from 0 to 86400 seconds"),
    ("defaults: {on_warning: degrade}", 'did you mean "degraded"'),
    ("services: {a: {hostnames: true}}", "services.a.hostnames: expected one of drop, resolve"),
    ("defaults: {tls: true}", "defaults.tls: `true` says too little"),
    ("defaults: {tls: {ca: a}}", "defaults.tls.sans: is required"),
    ("defaults: {tls: {sans: [a]}}", "defaults.tls.ca: is required"),
    ("defaults: {tls: {ca: a, sans: []}}", "defaults.tls.sans: is empty; it needs at least one item"),
    ("defaults: {tls: {ca: a, sans: [b]}}", 'defaults.tls.ca: there is no secret "a"; add it to secrets'),
    ("services: {'a/b': {}}", 'services["a/b"]: "a/b" cannot be the name of a service'),
    ("services: {'': {}}", 'services[""]: '),
    ("services: {user: }", "services.user: has no value"),
    ("default_listener: {address: 'localhost:80'}", "has a name where Envoy needs an IP address"),
    ("default_listener: {address: '0.0.0.0:0'}", "needs a port from 1 to 65535"),
    ("default_listener: false", "default_listener: no listener is left"),
    ("hidden_services: consul", "hidden_services: expected a list"),
    (
        "endpoints: {allow: [10.0.0.1/8]}",
        'endpoints.allow[0]: "10.0.0.1/8" is not a network such as 10.0.0.0/8',
    ),
    ("endpoints: {deny: [x]}", "endpoints.deny[0]"),
    ("endpoints: {allow_ports: [0]}", "from 1 to 65535"),
    ("endpoints: {allow_loopback: no}", "allow_loopback: expected auto, or true or false"),
    ("secrets: {a: {}}", "secrets.a: is empty; give it"),
    ("secrets: {a: {cert_file: c}}", "secrets.a.cert_file: needs key_file as well"),
    ("secrets: {a: {key_file: c}}", "secrets.a.key_file: needs cert_file as well"),
    ("secrets: {'a b': {ca_file: c}}", 'secrets["a b"]: "a b" is no name for a secret'),
    ('catalog: "a\\0b"', "catalog: expected text without control characters"),
    ("a: &x 1\nb: *x", "x.yaml:2: has the alias *x"),
    ("a: 1\na: 2", "x.yaml:2: a: is written twice, first on line 1; keep one"),
    ("- a", "x.yaml:1: expected a mapping with the keys consul, catalog"),
    ("xds: !!python/object:os.system {}", "has the tag"),
]


@pytest.mark.parametrize(("text", "part"), WRONG, ids=[text[:50] for text, _ in WRONG])
def test_a_wrong_value_is_named_with_line_and_key(tmp_path, text, part):
    found = complaints(tmp_path, text)

    assert any(part in finding for finding in found), found
    assert all(finding.startswith("x.yaml:") for finding in found)


LISTENER = "name: a, address: '0.0.0.0:80'"
WRONG_LISTENERS = [
    ("[{name: a, address: '0.0.0.0:80'}]", "listeners[0]: leads nowhere"),
    ("[{name: 'a b', address: '0.0.0.0:80', all_services: true}]", 'listeners[0].name: "a b" is no name'),
    (
        "[{name: default, address: '0.0.0.0:80', all_services: true}]",
        "is the name of the default listener already",
    ),
    (
        "[{name: a, address: '0.0.0.0:10000', all_services: true}]",
        'is the address of listener "default" already',
    ),
    ("[{name: a, address: 'x:80', all_services: true}]", "needs an IP address"),
    (f"[{{{LISTENER}, all_services: true}}, {{{LISTENER}, all_services: true}}]", "listeners[1].name"),
    (f"[{{{LISTENER}, all_services: true, service: b}}]", "listeners[0].service: has no meaning"),
    (f"[{{{LISTENER}, protocol: tcp}}]", "listeners[0]: needs exactly one of service and split"),
    (
        f"[{{{LISTENER}, protocol: tcp, service: a, split: {{b: 1}}}}]",
        "needs exactly one of service and split",
    ),
    (
        f"[{{{LISTENER}, protocol: tcp, service: a, all_services: true}}]",
        "listeners[0].all_services: has no meaning",
    ),
    (
        f"[{{{LISTENER}, protocol: tcp, service: a, routes: [{{service: a}}]}}]",
        "listeners[0].routes: has no meaning",
    ),
    (
        f"[{{{LISTENER}, protocol: tcp, service: 'a b'}}]",
        'listeners[0].service: "a b" cannot be the name of a service',
    ),
    (
        f"[{{{LISTENER}, protocol: tcp, service: a, discovery: on_demand}}]",
        "listeners[0].discovery: has no meaning",
    ),
    (f"[{{{LISTENER}, all_services: true, discovery: some}}]", 'listeners[0].discovery: "some" is not known'),
    (
        f"[{{{LISTENER}, all_services: true, discovery: on_demand, routes: [{{service: a}}]}}]",
        'listeners[0].discovery: is on_demand, so no route may have the host "*"',
    ),
    (
        f"[{{{LISTENER}, all_services: true, discovery: on_demand, routes: [{{hosts: ['*.consul']}}]}}]",
        'no route may have the host "*.consul"',
    ),
    (f"[{{{LISTENER}, all_services: true, tls: {{certificate: x}}}}]", 'no secret "x"; did you mean "xx"?'),
    (
        f"[{{{LISTENER}, all_services: true, tls: {{certificate: ca}}}}]",
        'secret "ca" has no certificate; give it cert_file',
    ),
    (
        f"[{{{LISTENER}, all_services: true, tls: {{certificate: xx, client_ca: xx}}}}]",
        'listeners[0].tls.client_ca: secret "xx" has no CA; give it ca_file',
    ),
    (f"[{{{LISTENER}, all_services: true, tls: }}]", "listeners[0].tls: has no value"),
]
WRONG_ROUTES = [
    ("{}", "listeners[0].routes[0]: needs exactly one of service and split"),
    ("{service: a, split: {b: 1}}", "needs exactly one of service and split"),
    ("{split: {}}", "listeners[0].routes[0].split: is empty; it needs at least one entry"),
    ("{split: {a: 0}}", "listeners[0].routes[0].split.a: expected a whole number from 1"),
    (
        "{split: {a: 4294967295, b: 1}}",
        "listeners[0].routes[0].split: the weights add up to more than 4294967295",
    ),
    ("{split: {'a b': 1}}", 'listeners[0].routes[0].split["a b"]: "a b" cannot be the name of a service'),
    ("{service: a, hosts: []}", "listeners[0].routes[0].hosts: is empty"),
    ("{service: a, hosts: [Shop.example.com]}", "must be in lower case"),
    ("{service: a, hosts: ['shop:80']}", "must not have a port"),
    ("{service: a, hosts: ['a b']}", "is not a host"),
    ("{service: a, hosts: ['%41.b']}", "is not a host"),
    ("{service: a, hosts: ['a.*']}", "is not a host"),
    ("{service: a, hosts: ['*.*.a']}", "is not a host"),
    ("{service: a, hosts: ['']}", "listeners[0].routes[0].hosts[0]: "),
    ("{service: a, hosts: ['a..b']}", "is not a host"),
    ("{service: a, path_prefix: orders}", 'listeners[0].routes[0].path_prefix: "orders" must begin with /'),
    (
        '{service: a, path_prefix: "/a\\r\\nX: y"}',
        "listeners[0].routes[0].path_prefix: expected text without control",
    ),
    ("{service: a, path_prefix: '/a b'}", "must begin with / and hold only"),
    ("{service: a, path_prefix: '/a?b'}", "must begin with / and hold only"),
    ("{service: a, path_prefix: '/é'}", "must begin with / and hold only"),
    (
        "{service: a}, {service: b}",
        'listeners[0].routes[1]: has the host "*" and the path_prefix of listeners[0].routes[0]',
    ),
    ("{service: a, hosts: [x, y]}, {hosts: [z, y], service: b}", 'listeners[0].routes[1]: has the host "y"'),
]
SECRETS = "secrets:\n  xx: {cert_file: a, key_file: b}\n  ca: {ca_file: c}\n"


@pytest.mark.parametrize(
    ("text", "part"),
    WRONG_LISTENERS + [(f"[{{{LISTENER}, routes: [{routes}]}}]", part) for routes, part in WRONG_ROUTES],
)
def test_a_wrong_listener_is_named_with_line_and_key(tmp_path, text, part):
    found = complaints(tmp_path, f"{SECRETS}listeners: {text}\n")

    assert any(part in finding for finding in found), found
    assert all(finding.startswith("x.yaml:4: ") for finding in found)


def test_all_that_is_wrong_is_said_at_once_in_file_order(tmp_path):
    text = """
listeners:
  - {name: a, address: nowhere, all_services: true}
  - {name: a, address: '0.0.0.0:81', all_services: true}
defaults:
  tls: {ca: x, sans: [B]}
xds: {address: '?'}
"""

    found = complaints(tmp_path, text, {"admin": "x"}, CONSUL_HTTP_SSL="maybe")

    assert [finding.partition(": ")[0] for finding in found] == [
        "CONSUL_HTTP_SSL",
        "--admin",
        "x.yaml:3",
        "x.yaml:4",
        "x.yaml:6",
        "x.yaml:6",
        "x.yaml:7",
    ]


@pytest.mark.parametrize("address", ["0.0.0.0:18000", "10.0.0.1:18000", "[::]:18000", "xds.example.com:1"])
def test_private_keys_never_cross_the_network_in_clear(tmp_path, address):
    (found,) = complaints(tmp_path, SECRETS, {"listen": address})

    assert found.startswith(f"--listen: {address} is reached from other machines")
    assert 'the private key of secret "xx" would cross the network in clear' in found


def test_a_secret_without_a_key_may_cross_the_network(tmp_path):
    assert (
        load_text(tmp_path, "secrets: {ca: {ca_file: c}}", {"listen": "0.0.0.0:18000"}).xds.host == "0.0.0.0"
    )


def test_private_keys_stay_on_the_machine_or_go_by_tls(tmp_path):
    tls = "xds: {tls: {cert_file: a, key_file: b}}"

    assert load_text(tmp_path, SECRETS + tls, {"listen": "0.0.0.0:18000"}).xds.tls
    assert load_text(tmp_path, SECRETS, {"listen": "localhost:18000"}).xds.tls is None
