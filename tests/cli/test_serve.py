"""What `serve` says when it cannot start; that it does start is seen with a real Envoy."""

import socket

import pytest

from tests.cli.invoke import sentence, xds_server
from tests.rig.ports import free_port
from xds_server import telemetry


@pytest.fixture(autouse=True)
def _keep_logging(monkeypatch):
    monkeypatch.setattr(telemetry, "configure_logging", lambda **_: None)
    # The command sets it for its own process, which here is the tests'.
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")


@pytest.fixture
def catalog(tmp_path):
    path = tmp_path / "catalog.yaml"
    path.write_text("services: {}\n")
    return path


@pytest.mark.case(136)
def test_a_port_that_is_taken_is_named_with_the_flag_for_another(catalog):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        free = f"127.0.0.1:{free_port()}"
        xds = xds_server("serve", "--catalog", catalog, "--listen", address, "--admin", free)
        admin = xds_server("serve", "--catalog", catalog, "--listen", free, "--admin", address)

    for result, name, flag in ((xds, "xDS", "--listen"), (admin, "admin", "--admin")):
        assert result.exit_code == 1
        assert sentence(result).startswith(f"Error: the {name} address {address} cannot be bound")
        assert sentence(result).endswith(f"choose another with {flag} HOST:PORT")


def test_tls_files_that_are_not_there(catalog, tmp_path):
    config = tmp_path / "xds.yaml"
    config.write_text("xds: {tls: {cert_file: none.pem, key_file: none.key}}\n")
    free = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    result = xds_server(
        "serve", "--catalog", catalog, "--config", config, "--listen", free[0], "--admin", free[1]
    )

    assert result.exit_code == 1
    assert "the TLS files of xds.tls cannot be read" in sentence(result)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--listen", "nonsense"), "--listen"),
        (("--admin", "127.0.0.1:99999"), "--admin"),
        (("--consul", "ftp://x"), "--consul"),
        (("--log-level", "loud"), "--log-level"),
    ],
)
def test_flags_that_are_wrong(flags, said):
    result = xds_server("serve", *flags)

    assert result.exit_code == 2
    assert said in sentence(result)


def test_a_catalog_file_that_cannot_be_read(tmp_path):
    result = xds_server("serve", "--catalog", tmp_path / "none.yaml")

    assert result.exit_code == 1
    assert "none.yaml: does not exist" in sentence(result)
