import json

import pytest
import yaml

from tests.cli.invoke import sentence, xds_server
from xds_server.settings import json_schema


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "xds.yaml"
    path.write_text("xds:\n  address: 127.0.0.1:18500\n")
    return path


def test_schema_prints_the_schema():
    result = xds_server("config", "schema")

    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads(json.dumps(json_schema()))


def test_check_says_that_a_file_is_right(file):
    result = xds_server("config", "check", file)

    assert (result.exit_code, result.stdout) == (0, f"{file} is right\n")


def test_check_says_what_is_wrong_where(file):
    file.write_text("xds:\n  adress: 127.0.0.1:18500\nlog: {level: loud}\n")
    result = xds_server("config", "check", file)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"{file}:2: xds.adress" in result.stderr
    assert 'did you mean "address"?' in result.stderr
    assert f"{file}:3: log.level" in result.stderr


def test_check_of_a_file_that_is_not_there(tmp_path):
    result = xds_server("config", "check", tmp_path / "none.yaml")

    assert result.exit_code == 2
    assert "none.yaml" in sentence(result)


def test_check_needs_a_file():
    result = xds_server("config", "check")

    assert result.exit_code == 2
    assert "Missing argument 'FILE'" in sentence(result)


def test_show_gives_what_is_in_force(file):
    shown = yaml.safe_load(xds_server("config", "show", "--config", file).stdout)

    assert shown["xds"]["address"] == "127.0.0.1:18500"
    assert shown["admin"]["address"] == "127.0.0.1:18001"


def test_what_show_gives_is_a_settings_file(file, tmp_path):
    again = tmp_path / "again.yaml"
    again.write_text(xds_server("config", "show", "--config", file).stdout)

    assert xds_server("config", "check", again).exit_code == 0


def test_show_in_json_is_the_same(file):
    in_json = xds_server("config", "show", "--config", file, "-o", "json").stdout

    assert json.loads(in_json) == yaml.safe_load(xds_server("config", "show", "--config", file).stdout)


def test_show_knows_the_origin_of_each_value(file):
    environment = {"XDS_ADMIN": "127.0.0.1:18501", "CONSUL_HTTP_ADDR": "10.0.0.9:8500"}
    result = xds_server("config", "show", "--origin", "--config", file, env=environment)
    origins = yaml.safe_load(result.stdout)

    assert origins["xds.address"] == f"file {file.name}:2"
    assert origins["admin.address"] == "environment XDS_ADMIN"
    assert origins["consul.address"] == "environment CONSUL_HTTP_ADDR"
    assert origins["log.level"] == "default"


def test_show_masks_a_token():
    result = xds_server("config", "show", env={"CONSUL_HTTP_TOKEN": "canary-token"})

    assert yaml.safe_load(result.stdout)["consul"]["token"] == "***"
    assert "canary" not in result.output


def test_show_of_settings_that_are_wrong(file):
    file.write_text("xds: 17\n")
    result = xds_server("config", "show", "--config", file)

    assert result.exit_code == 2
    assert f"{file}:1" in sentence(result)
