from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xds_server.model.policy import EndpointPolicy
from xds_server.model.problem import Code
from xds_server.translate.addresses import EndpointRules, Refusal

EVERYTHING = EndpointPolicy(allow=("0.0.0.0/0", "::/0"), allow_loopback=True)


def verdict(address: str, port: int = 8080, policy: EndpointPolicy = EVERYTHING) -> str | Code:
    checked = EndpointRules(policy).check(address, port)
    return checked.code if isinstance(checked, Refusal) else checked


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("8.8.8.8", "8.8.8.8"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::ffff:0a00:0001", "10.0.0.1"),
        ("fd00::1", "fd00::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
    ],
)
def test_an_address_is_given_in_its_shortest_form(address: str, shown: str) -> None:
    assert verdict(address) == shown


@pytest.mark.parametrize(
    "address",
    [
        "",
        "user.example.com",
        "localhost",
        "not an ip!!",
        "10.0.0.1\n",
        " 10.0.0.1",
        "10.0.0.1\0",
        "010.0.0.1",
        "10.1",
        "167772161",
        "0x0a000001",
        "10.0.0.1/32",
        "10.0.0.1:80",
        "[2001:db8::1]",
        "fe80::1%eth0",
        "fe80::1%1",
        "2001:db8::1%1",
        "unix:///run/x.sock",
        "/run/x.sock",
        "@abstract",
        "１0.0.0.1",  # noqa: RUF001 - a digit of another alphabet
        "256.0.0.1",
        "1" * 100_000,
    ],
)
def test_what_is_no_address(address: str) -> None:
    assert verdict(address) is Code.ENDPOINT_ADDRESS


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "ff02::1",
        "::ffff:0.0.0.0",
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "::ffff:100.100.100.200",
        "::ffff:224.0.0.1",
        "::ffff:255.255.255.255",
    ],
)
def test_addresses_that_no_setting_allows(address: str) -> None:
    assert verdict(address) is Code.ENDPOINT_ADDRESS_DENIED


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_needs_permission(address: str) -> None:
    assert verdict(address, policy=EndpointPolicy()) is Code.ENDPOINT_ADDRESS_DENIED
    assert verdict(address, policy=EndpointPolicy(allow_loopback=True)) == str(
        ip_address(address.removeprefix("::ffff:"))
    )


@pytest.mark.parametrize("port", [0, -1, 65536, 70000, 2**32 + 80, -(2**31)])
def test_what_is_no_port(port: int) -> None:
    assert verdict("10.0.0.1", port) is Code.ENDPOINT_PORT


@pytest.mark.parametrize("port", [1, 65535])
def test_the_first_and_the_last_port(port: int) -> None:
    assert verdict("10.0.0.1", port) == "10.0.0.1"


@pytest.mark.parametrize("address", ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1", "127.0.0.1"])
def test_a_denied_port_is_denied_on_every_address(address: str) -> None:
    policy = EndpointPolicy(deny_ports=frozenset({8500}), allow_loopback=True)

    assert verdict(address, 8500, policy) is Code.ENDPOINT_PORT_DENIED
    assert not isinstance(verdict(address, 8501, policy), Code)


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("10.0.0.1", True),
        ("::ffff:10.0.0.1", True),
        ("10.255.0.1", False),
        ("::ffff:10.255.0.1", False),
        ("192.0.2.1", False),
        ("fd00::1", True),
        ("2001:db8::1", False),
    ],
)
def test_allow_and_deny_see_through_mapped_addresses(address: str, *, good: bool) -> None:
    policy = EndpointPolicy(allow=("10.0.0.0/8", "fd00::/8"), deny=("10.255.0.0/16",))

    assert (verdict(address, policy=policy) is not Code.ENDPOINT_ADDRESS_DENIED) is good


def test_deny_alone_leaves_the_rest_allowed() -> None:
    policy = EndpointPolicy(deny=("10.0.0.0/8",))

    assert verdict("10.0.0.1", policy=policy) is Code.ENDPOINT_ADDRESS_DENIED
    assert verdict("192.0.2.1", policy=policy) == "192.0.2.1"


@given(st.ip_addresses())
def test_every_form_of_an_address_has_the_same_verdict(address: object) -> None:
    plain = verdict(str(address), policy=EndpointPolicy())
    forms = [address.exploded, address.compressed.upper()]  # type: ignore[attr-defined]
    if ":" not in str(address):
        forms.append(f"::ffff:{address}")

    assert {verdict(form, policy=EndpointPolicy()) for form in forms} == {plain}


@given(st.text(), st.integers())
def test_nothing_but_an_address_comes_out(text: str, port: int) -> None:
    checked = EndpointRules(EVERYTHING).check(text, port)

    if isinstance(checked, str):
        assert str(ip_address(checked)) == checked


@pytest.mark.parametrize("address", ["64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "64:ff9b::7f00:1"])
def test_address_behind_a_translator_is_looked_through(address):
    refusal = EndpointRules(EndpointPolicy()).check(address, 80)

    assert isinstance(refusal, Refusal)
    assert refusal.code == Code.ENDPOINT_ADDRESS_DENIED


def test_harmless_address_behind_a_translator_stays_as_it_is():
    assert EndpointRules(EndpointPolicy()).check("64:ff9b::10.0.0.1", 80) == "64:ff9b::a00:1"


NETWORKS = st.builds(
    lambda number, size: f"{ip_address(number >> (32 - size) << (32 - size) if size else 0)}/{size}",
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1, 4, 8, 15, 16, 24, 31, 32]),
)
POLICIES = st.builds(
    EndpointPolicy,
    allow=st.lists(NETWORKS, max_size=3).map(tuple),
    deny=st.lists(NETWORKS, max_size=3).map(tuple),
    allow_loopback=st.booleans(),
)


@st.composite
def questions(draw: st.DrawFn) -> tuple[EndpointPolicy, str]:
    """Give a policy, and an address at, just before or just after the edge of one of its networks."""
    policy = draw(POLICIES)
    edges = [0, 2**32 - 1, *(int(ip_address(text)) for text in ("127.0.0.0", "169.254.0.0", "224.0.0.0"))]
    for text in (*policy.allow, *policy.deny):
        network = ip_network(text)
        edges += [int(network.network_address), int(network.broadcast_address)]
    number = draw(st.sampled_from(edges)) + draw(st.integers(-1, 1))
    return policy, str(ip_address(number % 2**32))


@given(questions())
def test_what_is_told_quickly_is_what_the_rules_say(asked: tuple[EndpointPolicy, str]) -> None:
    policy, address = asked
    slow = EndpointRules(policy)
    # With every address held to be special each one is asked about rule by rule.
    slow._bounds = (0, 2**32)

    assert EndpointRules(policy).check(address, 80) == slow.check(address, 80)
