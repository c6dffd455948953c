import json
from pathlib import Path

import pytest
import yaml

from xds_server.app import consul as wiring
from xds_server.consul.address import ConsulLogin
from xds_server.consul.evidence import Bounds
from xds_server.consul.watch import WatchOptions
from xds_server.settings import Settings, SettingsError, load, show

CANARY = "c4n4ry-p4ss"


def from_environment(**environ: str) -> Settings:
    return load(flags={}, environ=environ, file=None)


def from_file(folder: Path, text: str, **environ: str) -> Settings:
    file = folder / "x.yaml"
    file.write_text(text)
    return load(flags={}, environ=environ, file=file)


def finding(folder: Path, text: str, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        from_file(folder, text, **environ)
    return str(caught.value).replace(f"{folder}/", "")


def test_every_variable_of_consul_is_read():
    found = from_environment(
        CONSUL_HTTP_AUTH=f"me:{CANARY}",
        CONSUL_CAPATH="/etc/consul/cas",
        CONSUL_NAMESPACE="team",
        CONSUL_PARTITION="west",
    ).consul

    assert found.basic_auth.value == f"me:{CANARY}"
    assert found.tls.ca_path == Path("/etc/consul/cas")
    assert (found.namespace, found.partition) == ("team", "west")


def test_a_ca_file_goes_before_a_directory():
    tls = from_environment(CONSUL_CACERT="ca.pem", CONSUL_CAPATH="cas").consul.tls

    assert (tls.ca_file, tls.ca_path) == (Path("ca.pem"), None)


def test_every_key_of_consul_is_read(tmp_path):
    text = """
consul:
  address: ["10.0.0.1:8500", "https://b:8501/consul", "unix:///run/consul.sock"]
  connections: 150
  auth_file: auth
  datacenter: dc2
  namespace: team
  partition: west
  tls: {ca_path: cas}
  login: {auth_method: machines, bearer_token_file: jwt, meta: {host: a1}}
  wait: 2m
  requests_per_second: 20
  sweep: 1h
  stale: false
  max_stale: 3s
  cached: true
  max_age: 4s
  removal_hold: 0s
"""
    found = from_file(tmp_path, text)
    consul = found.consul

    assert [one.url for one in consul.addresses] == [
        "http://10.0.0.1:8500",
        "https://b:8501/consul",
        "unix:///run/consul.sock",
    ]
    assert not consul.is_local
    assert {8500, 8501} <= found.own_ports
    assert 0 not in found.own_ports
    assert (consul.connections, consul.datacenter, consul.namespace) == (150, "dc2", "team")
    assert consul.auth_file == tmp_path / "auth"
    assert consul.tls.ca_path == tmp_path / "cas"
    assert consul.login
    assert consul.login.bearer_token_file == tmp_path / "jwt"
    assert dict(consul.login.meta) == {"host": "a1"}
    assert found.origins["consul.address"] == "file x.yaml:3"
    assert wiring._watch_options(consul) == WatchOptions(
        wait=120,
        requests_per_second=20,
        sweep=3600,
        stale=False,
        cached=True,
        max_age=4,
        bounds=Bounds(max_stale=3, max_age=4, hold=0),
    )


def test_the_defaults_of_the_settings_are_those_of_the_watch():
    assert wiring._watch_options(from_environment().consul) == WatchOptions()


def test_what_is_shown_can_be_loaded_again(tmp_path):
    text = """
consul:
  address: [a:1, b:2]
  auth_file: /auth
  namespace: team
  login: {auth_method: m, bearer_token_file: /jwt, meta: {host: a1}}
  stale: false
  max_age: 4s
"""
    found = from_file(tmp_path, text)

    again = from_file(tmp_path, yaml.safe_dump({"consul": show(found)["consul"]}))

    assert again.consul == found.consul


@pytest.mark.parametrize("text", ["a:1,b:2", "a:1, b:2", "http://a:1,http://b:2,http://a:1"])
def test_an_address_outside_the_file_may_be_several(text):
    by_flag = load(flags={"consul": text}, environ={}, file=None).consul
    by_environment = from_environment(CONSUL_HTTP_ADDR=text).consul

    assert by_flag.address == by_environment.address == "http://a:1,http://b:2"


def test_an_address_of_the_environment_replaces_all_of_the_file(tmp_path):
    found = from_file(tmp_path, "consul: {address: [a:1, b:2]}", CONSUL_HTTP_ADDR="c:3")

    assert found.consul.address == "http://c:3"


@pytest.mark.parametrize(
    ("address", "is_local"),
    [("127.0.0.1:1,unix:///a", True), ("127.0.0.1:1,10.0.0.1:1", False), ("localhost:1", True)],
)
def test_consul_is_local_if_every_address_is(address, is_local):
    assert from_environment(CONSUL_HTTP_ADDR=address).policy.endpoints.allow_loopback == is_local


@pytest.mark.parametrize(
    ("environ", "token", "token_file", "login"),
    [
        ({}, "", None, True),
        ({"CONSUL_HTTP_TOKEN": "t"}, "t", None, False),
        ({"CONSUL_HTTP_TOKEN_FILE": "/t"}, "", Path("/t"), False),
    ],
)
def test_a_token_of_the_environment_is_stronger_than_a_login(tmp_path, environ, token, token_file, login):
    text = "consul: {login: {auth_method: m, bearer_token_file: jwt}}"

    consul = from_file(tmp_path, text, **environ).consul

    assert (consul.token.value, consul.token_file, consul.login is not None) == (token, token_file, login)


def test_a_password_of_the_environment_is_stronger_than_a_file_of_the_settings(tmp_path):
    consul = from_file(tmp_path, "consul: {auth_file: auth}", CONSUL_HTTP_AUTH="a:b").consul

    assert (consul.basic_auth.value, consul.auth_file) == ("a:b", None)


def test_the_password_is_never_shown():
    found = from_environment(CONSUL_HTTP_AUTH=f"me:{CANARY}")

    assert show(found)["consul"]["auth"] == "***"
    assert CANARY not in repr(found) + str(found) + json.dumps(show(found)) + str(dict(found.origins))
    with pytest.raises(SettingsError) as caught:
        from_environment(CONSUL_HTTP_AUTH=f"me:{CANARY}\x00")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("address: [a:1, 'ftp://b']", 'x.yaml:1: consul.address[1]: "ftp://b" has an unknown scheme'),
        ("address: []", "x.yaml:1: consul.address: "),
        ("address: [7]", "x.yaml:1: consul.address: "),
        ("address: [" + "a:1, " * 17 + "]", "x.yaml:1: consul.address: has 17 addresses"),
        ("connections: 1", "x.yaml:1: consul.connections: expected a whole number"),
        ("auth: me:pass", "x.yaml:1: consul.auth: is not a key here"),
        ("login: {auth_method: m}", "x.yaml:1: consul.login.bearer_token_file: is required"),
        (
            "token_file: t, login: {auth_method: m, bearer_token_file: j}",
            "x.yaml:1: consul.login: stands beside token_file",
        ),
    ],
)
def test_a_wrong_key_is_named(tmp_path, text, sentence):
    assert finding(tmp_path, f"consul: {{{text}}}").startswith(sentence)


@pytest.mark.parametrize("text", ["a:1,", "a:1,,b:2", ",", "a:1,tcp://b"])
def test_a_wrong_list_outside_the_file_is_named(text):
    with pytest.raises(SettingsError, match=r"^CONSUL_HTTP_ADDR: "):
        from_environment(CONSUL_HTTP_ADDR=text)


def test_every_setting_reaches_the_client(tmp_path):
    text = """
consul:
  address: [a:1, b:2]
  connections: 17
  auth_file: /auth
  datacenter: dc2
  namespace: team
  partition: west
  login: {auth_method: m, bearer_token_file: /jwt, meta: {host: a1}}
  tls: {ca_path: /cas, cert_file: /c, key_file: /k, server_name: s, verify: false}
"""
    client = wiring._client(from_file(tmp_path, text).consul)

    address = client.address
    assert address.bases == ("http://a:1", "http://b:2")
    assert (client.connections, client.capacity) == (17, 17)
    assert (address.datacenter, address.namespace, address.partition) == ("dc2", "team", "west")
    assert address.auth_file == Path("/auth")
    assert address.login == ConsulLogin(auth_method="m", bearer_token_file=Path("/jwt"), meta={"host": "a1"})
    tls = address.tls
    assert (tls.ca_path, tls.cert_file, tls.key_file) == (Path("/cas"), Path("/c"), Path("/k"))
    assert (tls.server_name, tls.verify) == ("s", False)
