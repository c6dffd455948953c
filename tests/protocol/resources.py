"""Tiny resources, and snapshots of them: each resource is a name and a word of content."""

from collections.abc import Iterable

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import DataSource, Locality
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.endpoint.v3.endpoint_components_pb2 import LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.api_listener_pb2 import ApiListener
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import Route, RouteAction, RouteMatch, VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.config.route.v3.scoped_route_pb2 import ScopedRouteConfiguration
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import TlsCertificate
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.service.runtime.v3.rtds_pb2 import Runtime

from tests.rig.drafts import tables
from xds_server.model.types import TypeUrl
from xds_server.snapshot import EMPTY, Snapshot, build
from xds_server.translate.packing import Draft, Reference, draft, on_demand, pack
from xds_server.translate.render import unpack
from xds_server.translate.stand_ins import WITHHELD

CDS = TypeUrl.CLUSTER
EDS = TypeUrl.ENDPOINTS
LDS = TypeUrl.LISTENER
RDS = TypeUrl.ROUTES
SDS = TypeUrl.SECRET
VHDS = TypeUrl.VIRTUAL_HOST
ECDS = TypeUrl.EXTENSION
SRDS = TypeUrl.SCOPED_ROUTES
RTDS = TypeUrl.RUNTIME


def cluster(name: str, content: str = "1") -> Draft:
    message = Cluster(name=name, alt_stat_name=content)
    return draft(CDS, name, message, (Reference(EDS, name),))


def endpoints(name: str, content: str = "1") -> Draft:
    """Without content the assignment is empty."""
    groups = [LocalityLbEndpoints(locality=Locality(region=content))] if content else []
    return draft(EDS, name, ClusterLoadAssignment(cluster_name=name, endpoints=groups))


def service(name: str, content: str = "1") -> tuple[Draft, Draft]:
    return cluster(name, content), endpoints(name)


def listener(name: str, content: str = "1") -> Draft:
    """It has the routes of its own name."""
    message = Listener(name=name, stat_prefix=content, api_listener=ApiListener())
    return draft(LDS, name, message, (Reference(RDS, name),))


def routes(name: str, *clusters: str, word: str = "") -> Draft:
    ways = [Route(match=RouteMatch(prefix="/"), route=RouteAction(cluster=one)) for one in clusters]
    message = RouteConfiguration(
        name=name, virtual_hosts=[VirtualHost(name=f"{word}:", domains=["*"], routes=ways)]
    )
    return draft(RDS, name, message, tuple(Reference(CDS, one) for one in clusters))


def web(name: str, *clusters: str) -> tuple[Draft, Draft]:
    return listener(name), routes(name, *clusters)


def secret(name: str, content: str = "1") -> Draft:
    certificate = TlsCertificate(certificate_chain=DataSource(inline_string=content))
    return draft(SDS, name, Secret(name=name, tls_certificate=certificate))


def host(name: str, *clusters: str) -> Draft:
    """A virtual host, which is never covered by a wildcard; its content is the clusters it leads to."""
    ways = [Route(match=RouteMatch(prefix="/"), route=RouteAction(cluster=one)) for one in clusters]
    references = tuple(Reference(CDS, one) for one in clusters)
    return on_demand(draft(VHDS, name, VirtualHost(name=name, domains=["*"], routes=ways), references))


def extension(name: str, content: str = "1") -> Draft:
    config = pack(VirtualHost(name=content, domains=["*"]))
    return draft(ECDS, name, TypedExtensionConfig(name=name, typed_config=config))


def scope(name: str, content: str = "1") -> Draft:
    """It has the routes of its own name; what it matches plays no part here."""
    message = ScopedRouteConfiguration(name=name, route_configuration_name=f"{name}:{content}")
    message.key.fragments.add(string_key="any")
    return draft(SRDS, name, message, (Reference(RDS, name),))


def runtime(name: str, content: str = "1") -> Draft:
    message = Runtime(name=name)
    message.layer.update({"content": content})
    return draft(RTDS, name, message)


def snapshot(*drafts: Draft | Iterable[Draft], after: Snapshot = EMPTY) -> Snapshot:
    """Give the snapshot of these drafts that follows another; nothing may be left out of it."""
    every = [each for one in drafts for each in ([one] if isinstance(one, Draft) else one)]
    made = build(tables(every), (), after)
    assert made.problems == ()
    return made


def child(name: str, word: str) -> str:
    """Give the name of what belongs to a cluster or listener of that name and content."""
    return WITHHELD + name if word == WITHHELD else name


def content(type_url: TypeUrl, packed: bytes) -> tuple[str, str]:
    """Give the name and the content inside a serialised `Any`; that of routes is `word:a+b`.

    What stands in for a cluster or for routes is `withheld:`.
    """
    match unpack(type_url, packed):
        case Cluster() as found:
            stands_in = found.eds_cluster_config.service_name.startswith(WITHHELD)
            return found.name, WITHHELD if stands_in else found.alt_stat_name
        case ClusterLoadAssignment() as found:
            return found.cluster_name, "".join(group.locality.region for group in found.endpoints)
        case Listener() as found:
            return found.name, found.stat_prefix
        case RouteConfiguration() as found:
            return found.name, _ways(found.virtual_hosts[0])
        case Secret() as found:
            return found.name, found.tls_certificate.certificate_chain.inline_string
        case VirtualHost() as found:
            return found.name, "+".join(way.route.cluster for way in found.routes)
        case TypedExtensionConfig() as found:
            inner = VirtualHost()
            found.typed_config.Unpack(inner)
            return found.name, inner.name
        case ScopedRouteConfiguration() as found:
            return found.name, found.route_configuration_name.partition(":")[2]
        case Runtime() as found:
            return found.name, found.layer["content"]
    raise AssertionError(type_url)


def _ways(host: VirtualHost) -> str:
    if any(way.HasField("direct_response") for way in host.routes):
        return WITHHELD
    return host.name.lstrip(":") + "+".join(way.route.cluster for way in host.routes)
