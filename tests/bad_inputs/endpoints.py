"""Cases 20 to 44: where an instance says it is."""

from tests.bad_inputs.case import FINE, Case, dropped, fine, rogue, taken
from tests.consul.fake_consul import row
from xds_server.model.problem import Code

MANY = 20_000

ADDRESS, DENIED = Code.ENDPOINT_ADDRESS, Code.ENDPOINT_ADDRESS_DENIED
PORT, PORT_DENIED, ROW = Code.ENDPOINT_PORT, Code.ENDPOINT_PORT_DENIED, Code.SERVICE_ROW


def at(number, *addresses):
    return [rogue(number, place, Address=address) for place, address in enumerate(addresses)]


def without_port(number):
    """A row that has lost its port on the way; one without a port says 0."""
    made = rogue(number)
    del made["Service"]["Port"]
    return made


LISTENER = """
endpoints: {allow_loopback: true}
listeners: [{name: edge, address: "10.0.0.4:10002", routes: [{hosts: ["*"], service: good}]}]
"""
RESOLVE = "services: {case-26: {hostnames: resolve}}"

CASES = [
    dropped(20, "port 0", PORT, [rogue(20, port=0)]),
    dropped(21, "no port at all", ROW, [without_port(21)]),
    dropped(21, "`null` for a port", PORT, [rogue(21, Port=None)]),
    dropped(22, "port -1", PORT, [rogue(22, port=-1)]),
    dropped(23, "a port above 65535", PORT, [rogue(23, port=70_000), rogue(23, 1, port=65_536)]),
    dropped(
        24,
        "a port that is no number",
        ROW,
        [rogue(24, place, Port=port) for place, port in enumerate(("80", 80.5, True, [80], {}, ""))],
    ),
    taken(25, "no address of its own", "the node's", [rogue(25, Address="")], "10.0.0.1:80"),
    dropped(25, "no address at all", ADDRESS, [rogue(25, Address="", node={"Address": ""})]),
    dropped(26, "a host name", ADDRESS, at(26, "example.test", "localhost", "a.b.")),
    Case(
        number=26,
        title="a host name where names are resolved",
        verdict="STRICT_DNS by policy",
        listed={"case-26": [fine("case-26"), *at(26, "example.test")]},
        served={"case-26": (FINE, "example.test:80")},
        settings=RESOLVE,
        alone=True,
    ),
    dropped(27, "words", ADDRESS, at(27, "not an ip!!", "10.0.0", "1.2.3.4.5", "256.0.0.1", "0x7f.1", "?")),
    dropped(
        28,
        "an address and white space",
        ADDRESS,
        at(28, "10.0.0.1\n", " 10.0.0.1", "10.0.0.1 ", "10.0.0.1\x00", "10.0.0.1\t", "10.0.0.1:80"),
    ),
    dropped(29, "octal and decimal", ADDRESS, at(29, "010.0.0.1", "10.0.0.01", "167772161", "0xa000001")),
    dropped(30, "brackets", ADDRESS, at(30, "[2001:db8::1]", "[10.0.0.1]")),
    taken(31, "plain IPv6", "served", at(31, "2001:DB8:0::1"), "2001:db8::1:80"),
    dropped(32, "a zone", ADDRESS, at(32, "fe80::1%eth0", "fe80::1%1", "2001:db8::1%1")),
    taken(33, "IPv4 in IPv6", "as IPv4", at(33, "::ffff:10.0.0.7"), "10.0.0.7:80"),
    dropped(33, "what is denied, in IPv6", DENIED, at(33, "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe")),
    dropped(34, "the unspecified address", DENIED, at(34, "0.0.0.0", "::", "::ffff:0.0.0.0")),
    dropped(35, "loopback", DENIED, at(35, "127.0.0.1", "::1", "127.9.9.9", "::ffff:127.0.0.1")),
    dropped(35, "the proxy's own admin port", PORT_DENIED, [rogue(35, Address="10.0.0.2", Port=9901)]),
    dropped(
        36,
        "metadata services",
        DENIED,
        at(36, "169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "169.254.1.1"),
    ),
    dropped(37, "multicast and broadcast", DENIED, at(37, "224.0.0.1", "255.255.255.255", "ff02::1")),
    dropped(38, "a socket", ADDRESS, at(38, "unix:///run/x.sock", "/run/x.sock", "@abstract")),
    dropped(39, "our own ports", PORT_DENIED, [rogue(39, port=18_000), rogue(39, 1, port=18_001)]),
    dropped(
        39,
        "a listener of the proxy itself",
        PORT_DENIED,
        [
            rogue(39, Address="127.0.0.1", Port=10_000),
            rogue(39, 1, Address="::1", Port=10_000),
            rogue(39, 2, Address="10.0.0.4", Port=10_002),
        ],
        settings=LISTENER,
        alone=True,
    ),
    dropped(
        40,
        "Consul's ports",
        PORT_DENIED,
        [
            rogue(40, place, port=port)
            for place, port in enumerate((8300, 8301, 8302, 8500, 8501, 8502, 8503, 8600))
        ],
    ),
    Case(
        number=41,
        title="one address twice",
        verdict="merge",
        listed={"case-41": [fine("case-41"), *at(41, "10.0.0.2", "10.0.0.2", "::ffff:10.0.0.2")]},
        served={"case-41": ("10.0.0.2:80", FINE)},
        problems=((Code.ENDPOINT_DUPLICATE, "rogue-1"), (Code.ENDPOINT_DUPLICATE, "rogue-2")),
    ),
    *(
        taken(
            42,
            f"tagged addresses that are garbage: {what}",
            "ignore",
            [rogue(42, TaggedAddresses=garbage)],
            "10.0.0.2:80",
        )
        for what, garbage in [
            ("words", {"lan": {"Address": "\x00", "Port": -5}, "": {"Address": "x", "Port": 99_999}}),
            ("a list", [1, 2]),
            ("text", "garbage"),
            ("a number too large", {"lan": {"Address": "10.0.0.3", "Port": 2**70}}),
        ]
    ),
    Case(
        number=43,
        title="20,000 endpoints of one service",
        verdict="served, one assignment",
        listed={
            "case-43": [
                row("case-43", id=f"{n}", node=f"n{n}", Address=f"10.3.{n // 256}.{n % 256}")
                for n in range(MANY)
            ]
        },
        served={"case-43": tuple(sorted(f"10.3.{n // 256}.{n % 256}:80" for n in range(MANY)))},
        alone=True,
    ),
    taken(
        44,
        "IPv4 and IPv6 in one service",
        "served",
        at(44, "10.0.0.2", "2001:db8::2"),
        "10.0.0.2:80",
        "2001:db8::2:80",
    ),
]
