"""What the servers are fed with: catalogs from Consul's answers, single changes, and resource files."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from types import MappingProxyType

from envoy.service.discovery.v3.discovery_pb2 import Resource as Entry
from google.protobuf.any_pb2 import Any as Packed

from bench.cold import answer
from tests.rig.ports import free_port
from xds_server.consul.decode import decode_service
from xds_server.model.catalog import Catalog, Service
from xds_server.model.entries import ConfigEntries, IngressGateway, IngressListener, IngressService
from xds_server.model.policy import DEFAULT_LISTENER, EndpointPolicy, Policy
from xds_server.snapshot.resource import Resource

_DATACENTER = "dc1"
_PORT = 8080
_FIRST_LISTENER = 20_000


def name_of(number: int) -> str:
    """Name the service of that number."""
    return f"service-{number:05}"


@cache
def service(number: int, instances: int) -> Service:
    """Give a service as Consul's answer about it is decoded."""
    name = name_of(number)
    return decode_service(name, answer(name, number, instances), _DATACENTER).service


def catalog(services: int, instances: int) -> Catalog:
    """Give a catalog of so many services with so many instances each."""
    service.cache_clear()
    return Catalog.of(_DATACENTER, (service.__wrapped__(one, instances) for one in range(services)))


def gateways(count: int, services: int, upstreams: int) -> ConfigEntries:
    """Give config entries for so many ingress gateways, each with a listener and some upstreams of its own.

    Gateway number g is called `group-<g>` and opens the services from g on, as many as it has upstreams; so
    each service is behind as many gateways.
    """
    found = {}
    for number in range(count):
        behind = sorted({name_of((number + offset) % services) for offset in range(upstreams)})
        listener = IngressListener(
            port=_FIRST_LISTENER + number % 40_000,
            protocol="http",
            services=tuple(IngressService(name=name, hosts=(f"{name}.internal",)) for name in behind),
        )
        name = f"group-{number}"
        found[name] = IngressGateway(name=name, listeners=(listener,))
    return ConfigEntries(gateways=MappingProxyType(dict(sorted(found.items()))))


def moved(found: Service) -> Service:
    """Give the service with its first instance on another port, or back on the one before."""
    first, *others = found.instances
    port = _PORT + 1 if first.port == _PORT else _PORT
    return replace(found, instances=(replace(first, port=port), *others))


def policy() -> Policy:
    """Give the default policy; its listener is on a free port of loopback, as a real Envoy may open it."""
    listener = replace(DEFAULT_LISTENER, address="127.0.0.1", port=free_port())
    return Policy(listeners=(listener,), endpoints=EndpointPolicy(allow_loopback=True))


def resource_file(resources: Iterable[Resource]) -> bytes:
    """Give resources as a file of delimited `envoy.service.discovery.v3.Resource`, for the peers."""
    entries = (
        Entry(name=one.name, version=one.version, resource=Packed.FromString(one.packed)).SerializeToString()
        for one in resources
    )
    return b"".join(_delimited(entry) for entry in entries)


def _delimited(entry: bytes) -> bytes:
    """Put the length before an entry, as a varint (Protocol Buffers, "Base 128 Varints")."""
    length, head = len(entry), bytearray()
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + entry
