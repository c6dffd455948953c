import json

import pytest

from xds_server.settings import Settings, SettingsError, load, show


def from_environment(**environ: str) -> Settings:
    return load(flags={}, environ=environ, file=None)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("""
consul: {address: "http://file:1", token_file: from-file, tls: {verify: false, ca_file: ca.pem}}
xds: {address: "127.0.0.1:1"}
log: {level: debug}
""")
    return path


@pytest.mark.parametrize(
    ("flags", "environ", "address", "origin"),
    [
        ({}, {}, "http://file:1", "file x.yaml:2"),
        ({}, {"CONSUL_HTTP_ADDR": "env:2"}, "http://env:2", "environment CONSUL_HTTP_ADDR"),
        ({}, {"CONSUL_HTTP_ADDR": ""}, "http://file:1", "file x.yaml:2"),
        ({"consul": "flag:3"}, {"CONSUL_HTTP_ADDR": "env:2"}, "http://flag:3", "flag --consul"),
        ({"consul": None}, {"CONSUL_HTTP_ADDR": "env:2"}, "http://env:2", "environment CONSUL_HTTP_ADDR"),
    ],
)
def test_flags_are_stronger_than_the_environment_and_that_than_the_file(
    file, flags, environ, address, origin
):
    found = load(flags=flags, environ=environ, file=file)

    assert (found.consul.address, found.origins["consul.address"]) == (address, origin)


def test_every_variable_and_flag_of_ours_is_read(file):
    environ = {
        "XDS_LISTEN": "127.0.0.1:11",
        "XDS_ADMIN": "127.0.0.1:12",
        "XDS_CATALOG": "c.yaml",
        "XDS_LOG_LEVEL": "error",
        "XDS_LOG_FORM": "json",
    }
    flags = {
        "listen": "[::1]:21",
        "admin": "127.0.0.1:22",
        "catalog": "d.yaml",
        "log_level": "warning",
        "log_form": "text",
    }

    by_environment = load(flags={}, environ=environ, file=file)
    by_flags = load(flags=flags, environ=environ, file=file)

    def told(found: Settings) -> list[str]:
        return [
            found.xds.address,
            found.admin.address,
            str(found.catalog_file),
            found.log.level,
            found.log.form,
        ]

    assert told(by_environment) == ["127.0.0.1:11", "127.0.0.1:12", "c.yaml", "error", "json"]
    assert told(by_flags) == ["[::1]:21", "127.0.0.1:22", "d.yaml", "warning", "text"]
    assert by_flags.origins["log.form"] == "flag --log-form"
    assert by_environment.origins["catalog"] == "environment XDS_CATALOG"


def test_origins_know_the_line_and_what_comes_from_the_defaults_of_services(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("defaults:\n  lb_policy: maglev\nservices:\n  a.b:\n    protocol: tcp\nlisteners: []\n")

    origins = load(flags={}, environ={}, file=path).origins

    assert origins["defaults.lb_policy"] == "file x.yaml:2"
    assert origins['services["a.b"].protocol'] == "file x.yaml:5"
    assert origins['services["a.b"].lb_policy'] == "file x.yaml:2"
    assert origins['services["a.b"].panic_threshold'] == "default"
    assert origins["xds.address"] == "default"


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("127.0.0.1:8500", "http://127.0.0.1:8500"),
        ("consul.example.com:8500", "http://consul.example.com:8500"),
        ("consul", "http://consul:80"),
        ("http://consul", "http://consul:80"),
        ("https://consul.example.com", "https://consul.example.com:443"),
        ("https://example.com:1/consul/api/", "https://example.com:1/consul/api"),
        ("[::1]:8500", "http://[::1]:8500"),
        ("http://[::1]", "http://[::1]:80"),
        ("unix:///run/consul.sock", "unix:///run/consul.sock"),
    ],
)
def test_consul_http_addr_has_the_meaning_that_consul_gives_it(variable, url):
    assert from_environment(CONSUL_HTTP_ADDR=variable).consul.address == url


@pytest.mark.parametrize(
    ("address", "ssl", "url"),
    [
        ("a:1", "true", "https://a:1"),
        ("a:1", "1", "https://a:1"),
        ("a:1", "T", "https://a:1"),
        ("a:1", "f", "http://a:1"),
        ("http://a:1", "true", "https://a:1"),
        ("https://a:1", "false", "https://a:1"),
        ("unix:///a", "true", "unix:///a"),
    ],
)
def test_consul_http_ssl_is_never_reverted(address, ssl, url):
    assert from_environment(CONSUL_HTTP_ADDR=address, CONSUL_HTTP_SSL=ssl).consul.address == url


def test_consul_tls_variables(file):
    environ = {
        "CONSUL_HTTP_SSL_VERIFY": "1",
        "CONSUL_CACERT": "env-ca.pem",
        "CONSUL_CLIENT_CERT": "cert.pem",
        "CONSUL_CLIENT_KEY": "key.pem",
        "CONSUL_TLS_SERVER_NAME": "server.dc1.consul",
    }

    by_file = load(flags={}, environ={}, file=file).consul.tls
    by_environment = load(flags={}, environ=environ, file=file).consul.tls

    assert (by_file.verify, by_file.ca_file) == (False, file.parent / "ca.pem")
    assert by_environment.verify
    assert [str(by_environment.ca_file), str(by_environment.cert_file), str(by_environment.key_file)] == [
        "env-ca.pem",
        "cert.pem",
        "key.pem",
    ]
    assert by_environment.server_name == "server.dc1.consul"


@pytest.mark.parametrize(
    ("environ", "token", "token_file"),
    [
        ({}, "", "from-file"),
        ({"CONSUL_HTTP_TOKEN": "t"}, "t", None),
        ({"CONSUL_HTTP_TOKEN_FILE": "/e"}, "", "/e"),
        ({"CONSUL_HTTP_TOKEN": "t", "CONSUL_HTTP_TOKEN_FILE": "/e"}, "t", "/e"),
    ],
)
def test_a_token_of_the_environment_is_stronger_than_a_file_of_the_settings(file, environ, token, token_file):
    consul = load(flags={}, environ=environ, file=file).consul

    expected = None if token_file is None else file.parent / token_file
    assert (consul.token.value, consul.token_file) == (token, expected)


def test_the_token_is_never_shown(file):
    canary = "c4n4ry-70k3n"

    found = load(flags={}, environ={"CONSUL_HTTP_TOKEN": canary}, file=file)

    assert canary not in repr(found) + str(found) + json.dumps(show(found)) + str(dict(found.origins))
    assert show(found)["consul"]["token"] == "***"
    with pytest.raises(SettingsError) as caught:
        from_environment(CONSUL_HTTP_TOKEN=f"{canary}\r\nX-Evil: 1")
    assert canary not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("CONSUL_HTTP_SSL", "yes", 'CONSUL_HTTP_SSL: expected true or false, but found "yes"'),
        ("CONSUL_HTTP_SSL_VERIFY", "no", "CONSUL_HTTP_SSL_VERIFY: expected true or false"),
        ("CONSUL_HTTP_ADDR", "tcp://x", 'CONSUL_HTTP_ADDR: "tcp://x" has an unknown scheme'),
        ("CONSUL_CLIENT_KEY", "x", "CONSUL_CLIENT_KEY: needs cert_file as well"),
        ("XDS_LISTEN", ":18000", 'XDS_LISTEN: ":18000" does not begin with an IP address or a host name'),
        ("XDS_LOG_LEVEL", "warn", 'XDS_LOG_LEVEL: "warn" is not known; did you mean "warning"?'),
        ("XDS_CONFIG", "/nowhere.yaml", "/nowhere.yaml: does not exist"),
    ],
)
def test_a_wrong_variable_is_named(variable, value, sentence):
    with pytest.raises(SettingsError) as caught:
        from_environment(**{variable: value})

    assert str(caught.value).startswith(sentence)
