import pytest

from xds_server.model.policy import EndpointPolicy
from xds_server.model.problem import Code
from xds_server.translate.addresses import EndpointRules, Refusal
from xds_server.translate.hostnames import host_name

LONG = ".".join(["a" * 63] * 3 + ["b" * 61])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("db.example.com", "db.example.com"),
        ("DB.Example.com.", "db.example.com"),
        ("db", "db"),
        ("_pg._tcp.db-1.example", "_pg._tcp.db-1.example"),
        ("1.2.3.4.nip.io", "1.2.3.4.nip.io"),
        (LONG, LONG),
    ],
)
def test_a_host_name_is_given_as_dns_compares_it(text: str, name: str) -> None:
    assert host_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a..b",
        ".a",
        "a..",
        "-a.b",
        "a-.b",
        "a b",
        "a\n",
        "a/b",
        "a:80",
        "user@a",
        "%DOWNSTREAM%",
        "x" * 64,
        LONG + "b",
        "bücher.example",
        "10.0.0.1",
        "127.1",
        "2130706433",
        "a.1",
        "0x7f000001",
        "127.0.0.0x1",
        "0x",
        "2001:db8::1",
        "unix:///x",
        "/x",
    ],
)
def test_what_is_no_name_or_might_be_read_as_an_address_is_none(text: str) -> None:
    assert host_name(text) is None


def verdict(name: str, port: int = 80, **policy: object) -> str | Code:
    checked = EndpointRules(EndpointPolicy(**policy)).check_name(name, port)  # type: ignore[arg-type]
    return checked.code if isinstance(checked, Refusal) else checked


@pytest.mark.parametrize(
    "name",
    [
        "localhost",
        "db.localhost",
        "localhost.localdomain",
        "ip6-localhost",
        "localhost6",
        "metadata",
        "metadata.google.internal",
        "x.metadata.google.internal",
        "instance-data.ec2.internal",
    ],
)
def test_names_of_this_machine_and_of_metadata_services_are_refused(name: str) -> None:
    assert verdict(name) is Code.ENDPOINT_ADDRESS_DENIED


@pytest.mark.parametrize("name", ["db.example.com", "localhosting.example", "metadata.shop.example", "db"])
def test_other_names_pass(name: str) -> None:
    assert verdict(name) == name


def test_this_machine_passes_where_loopback_does() -> None:
    assert verdict("localhost", allow_loopback=True) == "localhost"
    assert verdict("metadata", allow_loopback=True) is Code.ENDPOINT_ADDRESS_DENIED


def test_no_name_passes_an_allow_list_of_networks() -> None:
    assert verdict("db.example.com", allow=("0.0.0.0/0", "::/0")) is Code.ENDPOINT_ADDRESS_DENIED
    assert verdict("localhost", allow=("127.0.0.0/8",), allow_loopback=True) is Code.ENDPOINT_ADDRESS_DENIED


@pytest.mark.parametrize(
    ("port", "code"),
    [(0, Code.ENDPOINT_PORT), (70_000, Code.ENDPOINT_PORT), (8500, Code.ENDPOINT_PORT_DENIED)],
)
def test_the_port_of_a_name_is_checked_as_any(port: int, code: Code) -> None:
    assert verdict("db.example.com", port, deny_ports=frozenset({8500})) is code


def test_a_host_name_where_names_are_dropped_hints_at_the_setting() -> None:
    refusals = [EndpointRules(EndpointPolicy()).check(text, 80) for text in ("db.example.com", "127.1")]

    reasons = [refusal.reason for refusal in refusals if isinstance(refusal, Refusal)]
    assert ["hostnames: resolve" in reason for reason in reasons] == [True, False]
