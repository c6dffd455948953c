"""Random catalogs, mixed from good and hostile values as Consul tells them, and what has to come of them.

What is expected follows from which pieces were drawn, not from the code under test: each list says itself
whether its values are good.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from types import MappingProxyType
from typing import Any, Final

from xds_server.consul.decode import choose_names, decode_service
from xds_server.consul.entries import Kind, decode_entries
from xds_server.model.catalog import Catalog
from xds_server.model.entries import ConfigEntries
from xds_server.model.policy import (
    Claim,
    Dialect,
    EndpointPolicy,
    Policy,
    Registrations,
)

GOOD_NAMES: Final = (
    "a",
    "api.v2",
    "cart",
    "db",
    "Order",
    "user",
    "user-2",
    "web_1",
    "w" * 128,
    "0",
    "sentinel",
)
BAD_NAMES: Final = (
    "",
    "xds_cluster",
    "a/b",
    "zz/../user",
    "line\nfeed",
    "nul\x00",
    "caf\u00e9",
    "sp ace",
    "${x}",
    "%2f",
    "a..b",
    ".a",
    "a-",
    "\u202euser",
    "x" * 5000,
    "*",
    "user:",
    "user@v1",
)
BAD_ADDRESSES: Final = (
    "example.test",
    "not an ip!!",
    "10.0.0.1\n",
    " 10.0.0.1",
    "010.0.0.1",
    "[2001:db8::1]",
    "fe80::1%eth0",
    "fe80::1%2",
    "0.0.0.0",
    "::",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "unix:///run/x.sock",
    "10.0.0.1:80",
    "10.0.0",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "1" * 3000,
    "%ENVIRONMENT(HOME)%",
)
TCP_TAG: Final = "urlprefix-:80 proto=tcp"
"""Who says so speaks no HTTP, and has no route."""

BAD_PORTS: Final = (0, -1, 65_536, 70_000, 2**31, 2**63, -(2**40))
WEIGHTS: Final = (1, 0, -1, 5, 100, 65_535, 65_536, 2**32 - 1, 2**32, 2**62, -(2**40))
STATUSES: Final = ("passing", "passing", "warning", "critical", "maintenance", "", "weird\n", "PASSING")
TEXTS: Final = (
    "",
    "true",
    "maybe",
    "v1",
    "http2",
    "grpc",
    "10s",
    "-1s",
    "0",
    "0s",
    "1e309",
    "NaN",
    "99999999999h",
    "0.0000000001s",
    "ring_hash",
    "maglev",
    "random",
    "least_request",
    "header:x-user",
    "header:x\r\ny",
    "header:",
    "header::path",
    "header:host",
    "cookie:session",
    "cookie:a;b=\n",
    "source_ip",
    "query:q",
    "%ENVIRONMENT(HOME)%",
    "%REQ(:path)%",
    "%",
    "((",
    "(a+)+$",
    "*",
    "*.example.test",
    "**",
    "shop.example.test",
    "Shop.Example.Test/Api",
    "shop.example.test/a//b/../c",
    "shop.example.test/%2e%2e",
    "shop.example.test/a?b#c",
    "shop.example.test:80/",
    "shop.example.test/" + "a" * 3000,
    "/",
    "/api",
    "//",
    "/a b",
    "/\r\nX-Evil: 1",
    "user.service.consul",
    "user/",
    "GET,POST",
    "GET,get,,\n",
    "CONNECT",
    "x-a=1",
    "x-a=1,x-b",
    ":path=/x",
    "host=x",
    "x\r\ny=1",
    "9999999999999",
    "5xx",
    "gateway-error",
    "nul\x00",
    "caf\u00e9",
    "\u202e",
    "a" * 500,
    "default",
    "no-such-listener",
)
KEYS: Final = (
    "xds-health",
    "xds-lb-policy",
    "xds-hash-on",
    "xds-connect-timeout",
    "xds-request-timeout",
    "xds-route",
    "xds-route-a",
    "xds-a-timeout",
    "xds-strip",
    "xds-rewrite",
    "xds-timeout",
    "xds-retries",
    "xds-methods",
    "xds-headers",
    "xds-priority",
    "xds-listener",
    "xds-no-such-word",
    "xds-",
    "xds-\x00",
    "other",
)
TAGS: Final = (
    "urlprefix-/",
    "urlprefix-shop.example.test/x strip=/x",
    "urlprefix-*.example.test/ weight=2.5",
    TCP_TAG,
    "urlprefix-\r\n",
    "traefik.enable=true",
    "traefik.http.routers.r.rule=Host(`shop.example.test`) && PathPrefix(`/t`)",
    "traefik.http.routers.r.rule=HostRegexp(`((`)",
    "traefik.http.routers.r.rule=PathRegexp(`(a+)+$`) || Header(`x`, `y`)",
    "traefik.http.routers.r.rule=(((((((((",
    "traefik.http.routers.r.priority=99999999999999999999",
    "%ENVIRONMENT(HOME)%",
    "\r\nX-Evil: 1",
    "t" * 5000,
    "xds.route",
    "xds.",
)
VALUES: Final = (None, 0, -1, 1, 1500, 2**31, 2**64, 1.5, True, "", "x", [], {}, "10s", "-1s", float(10**300))
PROTOCOLS: Final = ("http", "http2", "grpc", "HTTP", "", "udp", "\n")

POLICY: Final = Policy(
    registrations=Registrations(
        claims=(Claim(services=("*",), hosts=("*",), path_prefix="/"),),
        dialects=frozenset(Dialect),
    ),
    endpoints=EndpointPolicy(),
)
"""Registrations may say whatever can be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A catalog, the hosts (`ip:port`) that each cluster has to have, and the services that have routes.

    `at_least` are the clusters of which nothing is said but that they are there.
    """

    catalog: Catalog
    clusters: Mapping[str, frozenset[str]]
    at_least: frozenset[str] = frozenset()
    routed: frozenset[str] = field(default=frozenset())


class Drawing:
    """Draws catalogs one after another. No address comes twice, so each differs from all before."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - it has to be the same again
        self._addresses = 0

    def draw(self) -> Drawn:
        """Give the next one; the service `sentinel` is always good."""
        random = self.random
        names = [name for name in GOOD_NAMES if name != "sentinel" and random.random() < 0.6]
        bad = random.sample(BAD_NAMES, random.randrange(4))
        allowed, problems = choose_names([*names, *bad, "sentinel"], frozenset())
        services, clusters, untold, routed = [], {}, set(), set()
        for name in sorted(allowed):
            rows, hosts, told = self._rows(name)
            spoken = all(TCP_TAG not in row["Service"].get("Tags", ()) for row in rows)
            services.append(decode_service(name, json.dumps(rows).encode()).service)
            if name in GOOD_NAMES:
                clusters[name] = hosts
                untold |= set() if told else {name}
                routed |= {name} if spoken else set()
        catalog = replace(Catalog.of("dc1", services, problems), entries=self._entries(names))
        expected = {name: hosts for name, hosts in clusters.items() if name not in untold}
        return Drawn(
            catalog=catalog,
            clusters=MappingProxyType(expected),
            at_least=frozenset(untold),
            routed=frozenset(routed),
        )

    def _rows(self, name: str) -> tuple[list[dict[str, Any]], frozenset[str], bool]:
        """Give the rows of a service, the hosts that come of them, and whether those are all there are."""
        random = self.random
        good = name == "sentinel"
        count = 1 if good else random.choice((0, 1, 1, 2, 3, 8))
        rows, hosts, told = [], set(), True
        for number in range(count):
            address, host = self._address() if good or random.random() < 0.6 else (None, "")
            port = random.choice((1, 80, 8080, 65_535))
            if not host and random.random() < 0.5:
                address = random.choice(BAD_ADDRESSES)
            elif not host:
                address, _ = self._address()
                port = random.choice(BAD_PORTS)
            else:
                hosts.add(f"{host}:{port}")
            service = {"ID": f"{name[:20]}-{number}", "Service": name, "Address": address, "Port": port}
            if not good:
                service |= self._said()
                told = told and not {"xds-subset", "xds-canary"} & service["Meta"].keys()
            rows.append(self._row(service))
        return rows, frozenset(hosts), told

    def _row(self, service: dict[str, Any]) -> dict[str, Any]:
        random = self.random
        checks = [
            {"CheckID": f"c{number}", "Status": random.choice(STATUSES), "Output": "\x00\r\n%x"}
            for number in range(random.randrange(3))
        ]
        node = {"Node": "n1", "Address": "10.255.0.1", "Datacenter": "dc1", "Meta": self._meta(2)}
        return {"Node": node, "Service": service, "Checks": checks}

    def _said(self) -> dict[str, Any]:
        random = self.random
        meta = self._meta(5)
        if random.random() < 0.1:
            meta["xds-subset"] = random.choice(TEXTS)
        if random.random() < 0.1:
            meta["xds-canary"] = random.choice(("true", "false", "x"))
        return {
            "Meta": meta,
            "Tags": random.sample(TAGS, random.randrange(4)),
            "Weights": {"Passing": random.choice(WEIGHTS), "Warning": random.choice(WEIGHTS)},
        }

    def _meta(self, most: int) -> dict[str, str]:
        random = self.random
        return {random.choice(KEYS): random.choice(TEXTS) for _ in range(random.randrange(most + 1))}

    def _entries(self, names: list[str]) -> ConfigEntries:
        """Give `service-defaults` for some services, good and bad fields beside each other."""
        random = self.random
        chosen = [name for name in names if random.random() < 0.4]
        body = [
            {
                "Kind": "service-defaults",
                "Name": name,
                "Protocol": random.choice(PROTOCOLS),
                "LocalConnectTimeoutMs": random.choice(VALUES),
                "LocalRequestTimeoutMs": random.choice(VALUES),
            }
            for name in chosen
        ]
        answer = decode_entries(Kind.SERVICE_DEFAULTS, json.dumps(body).encode())
        overrides = {
            name: tuple(entry.value.overrides) for name, entry in answer.entries.items() if entry.value
        }
        return ConfigEntries(overrides=MappingProxyType(overrides), problems=answer.problems)

    def _address(self) -> tuple[str, str]:
        """Give an address that was never given, and how Envoy writes it."""
        self._addresses += 1
        number = self._addresses
        low, high = number & 0xFFFF, number >> 16
        dotted = f"10.{high & 127}.{low >> 8}.{low & 255}"
        match self.random.randrange(6):
            case 0:
                return f"::ffff:{dotted}", dotted
            case 1:
                text = f"2001:db8::1:{high + 1:x}:{low + 1:x}"
                return text, text
            case _:
                return dotted, dotted
