import json
import textwrap

import pytest
import yaml

from tests.cli.invoke import sentence, xds_server
from tests.rig.pem import Authority

CATALOG = """\
services:
  user:
    instances:
      - {address: 10.0.0.1, port: 8080}
"""


def write(folder, name, text):
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


@pytest.fixture
def catalog(tmp_path):
    return write(tmp_path, "catalog.yaml", CATALOG)


def test_yaml_is_the_default(catalog):
    result = xds_server("render", "--catalog", catalog)
    shown = yaml.safe_load(result.stdout)

    assert (result.exit_code, result.stderr) == (0, "")
    assert list(shown) == ["clusters", "endpoints", "listeners", "routes"]
    assert shown["clusters"][0]["name"] == "user"
    # Envoy's own field names.
    assert shown["endpoints"][0]["cluster_name"] == "user"


def test_json_is_the_same(catalog):
    in_yaml = xds_server("render", "--catalog", catalog)
    in_json = xds_server("render", "--catalog", catalog, "-o", "json")

    assert json.loads(in_json.stdout) == yaml.safe_load(in_yaml.stdout)


def test_what_grpc_is_served_is_for_grpc(catalog, tmp_path):
    config = write(tmp_path, "grpc.yaml", "services: {user: {protocol: grpc}}\n")
    result = xds_server("render", "--catalog", catalog, "--config", config, "--client", "grpc")

    assert (result.exit_code, result.stderr) == (0, "")
    listeners = yaml.safe_load(result.stdout)["listeners"]
    assert [one["name"] for one in listeners] == ["user", "user.service.consul", "user.service.dc1.consul"]
    assert all("api_listener" in one for one in listeners)


def test_the_settings_count(catalog, tmp_path):
    config = write(tmp_path, "xds.yaml", "hidden_services: [user]\n")

    for result in (
        xds_server("render", "--catalog", catalog, "--config", config),
        xds_server("render", "--catalog", catalog, env={"XDS_CONFIG": str(config)}),
    ):
        assert list(yaml.safe_load(result.stdout)) == ["listeners", "routes"]


def test_problems_go_to_standard_error_and_into_the_exit_code(tmp_path):
    bad = CATALOG + "      - {address: not-an-address, port: 8080, id: odd}\n"
    result = xds_server("render", "--catalog", write(tmp_path, "catalog.yaml", bad))

    assert result.exit_code == 1
    assert yaml.safe_load(result.stdout)["clusters"]
    assert result.stderr.startswith("endpoint-address: ")
    assert "odd" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "catalog.yaml"),
        ("", "is empty"),
        ("services: [", "is not YAML"),
        ("services: {}\ncolour: red\n", "colour"),
    ],
)
def test_a_catalog_that_cannot_be_used(tmp_path, text, said):
    path = tmp_path / "catalog.yaml"
    if text is not None:
        path.write_text(text)
    result = xds_server("render", "--catalog", path)

    assert result.exit_code == 2
    assert sentence(result).startswith("Error: ")
    assert said in sentence(result)


def test_settings_that_cannot_be_used(catalog, tmp_path):
    config = write(tmp_path, "xds.yaml", "lisen: x\n")
    result = xds_server("render", "--catalog", catalog, "--config", config)

    assert result.exit_code == 2
    assert "xds.yaml:1" in sentence(result)


def test_private_keys_are_hidden(catalog, tmp_path):
    certificate, key = Authority().pair()
    (tmp_path / "edge.pem").write_bytes(certificate)
    (tmp_path / "edge.key").write_bytes(key)
    config = write(tmp_path, "xds.yaml", "secrets: {edge: {cert_file: edge.pem, key_file: edge.key}}\n")
    secret_line = key.decode().splitlines()[1]

    for form in ("yaml", "json"):
        result = xds_server("render", "--catalog", catalog, "--config", config, "-o", form)
        assert result.exit_code == 0
        assert "secrets" in result.stdout
        assert secret_line not in result.output
        # "[redacted]" in base64, as bytes are in JSON.
        assert "W3JlZGFjdGVkXQ==" in result.stdout
