"""What is served for a resource that cannot be, so that everything that leads to it stays in force.

Envoy keeps a listener without its routes in warming, and a route to a cluster that is not there answers 503
without telling why; gRPC takes neither. A stand-in answers 503 for its own name and costs nothing else.
"""

from typing import Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.config_source_pb2 import AggregatedConfigSource, ApiVersion, ConfigSource
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.route.v3.route_components_pb2 import DirectResponseAction, Route, RouteMatch, VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration

from xds_server.model.types import TypeUrl
from xds_server.translate.packing import Draft, Reference, draft

WITHHELD: Final = "withheld:"
"""Comes before the name of the empty endpoints of a stand-in cluster; `:` begins no service's name."""

_UNAVAILABLE: Final = 503


def stand_in(type_url: TypeUrl, name: str) -> tuple[Draft, ...]:
    """Give what is served in place of a resource of that name: nothing where nothing has to lead there."""
    match type_url:
        case TypeUrl.CLUSTER:
            return _cluster(name)
        case TypeUrl.ENDPOINTS:
            return (draft(type_url, name, ClusterLoadAssignment(cluster_name=name)),)
        case TypeUrl.ROUTES:
            made = RouteConfiguration(name=name, virtual_hosts=[_virtual_host(name, "*")])
            return (draft(type_url, name, made),)
        case TypeUrl.VIRTUAL_HOST:
            return (draft(type_url, name, _virtual_host(name, name.rpartition("/")[2])),)
        case _:
            return ()


def _cluster(name: str) -> tuple[Draft, ...]:
    """Give a cluster without endpoints; of type EDS, as gRPC knows no static ones."""
    empty = WITHHELD + name
    eds = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)
    made = Cluster(name=name, type=Cluster.EDS)
    made.eds_cluster_config.service_name = empty
    made.eds_cluster_config.eds_config.CopyFrom(eds)
    made.connect_timeout.seconds = 5
    endpoints = draft(TypeUrl.ENDPOINTS, empty, ClusterLoadAssignment(cluster_name=empty))
    return draft(TypeUrl.CLUSTER, name, made, (Reference(TypeUrl.ENDPOINTS, empty),)), endpoints


def _virtual_host(name: str, domain: str) -> VirtualHost:
    return VirtualHost(name=name, domains=[domain], routes=unavailable_routes())


def unavailable_routes() -> tuple[Route, ...]:
    """Give routes that answer 503 to every request."""
    answer = DirectResponseAction(status=_UNAVAILABLE)
    answer.body.inline_string = "xds-server withholds these routes: Envoy would reject them.\n"
    return (Route(match=RouteMatch(prefix="/"), direct_response=answer),)
