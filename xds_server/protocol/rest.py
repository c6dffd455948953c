"""Discovery by polling: one request, one answer, and nothing remembered (P-019).

xDS protocol, "REST-JSON subscriptions". The version is that of the very resources that are answered with, so
a client that adds a name has another one, and a client that has them all is told so by it.
"""

from collections.abc import Iterable

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from google.protobuf.any_pb2 import Any

from xds_server.model.proxy import Client
from xds_server.model.types import TypeUrl
from xds_server.protocol.limits import check_names
from xds_server.protocol.messages import ProtocolError
from xds_server.protocol.order import FULL_STATE
from xds_server.protocol.sotw import no_endpoints
from xds_server.protocol.subscription import Subscription
from xds_server.snapshot import Resource, Snapshot
from xds_server.snapshot.snapshot import set_version


def fetch(
    snapshot: Snapshot, request: DiscoveryRequest, type_url: TypeUrl, client: Client
) -> DiscoveryResponse | None:
    """Answer a request for resources of a type; None where the client's version says that it has them.

    Raises ProtocolError where the request is for another type, or names more than a client may.
    """
    if request.type_url not in ("", type_url):
        raise ProtocolError(f"the request is for {request.type_url!a}, but this is where {type_url.short} is")
    resources = _wanted(snapshot, _subscription(request, type_url, client), type_url)
    version = set_version(resources)
    if version == request.version_info:
        return None
    return DiscoveryResponse(
        version_info=version,
        type_url=type_url,
        resources=[Any.FromString(resource.packed) for resource in resources],
    )


def _subscription(request: DiscoveryRequest, type_url: TypeUrl, client: Client) -> Subscription:
    # P-047, P-055: naming nothing is everything of some types, and for Envoy only.
    subscription = Subscription(legacy_wildcard=type_url in FULL_STATE and client is Client.ENVOY)
    subscription.replace(request.resource_names)
    check_names(type_url.short, subscription.names)
    return subscription


def _wanted(snapshot: Snapshot, subscription: Subscription, type_url: TypeUrl) -> list[Resource]:
    """Give what is subscribed to and there, by name in sorted order."""
    available = snapshot.sets[type_url]
    found = dict(available.wildcard) if subscription.wildcard else {}
    found.update(_named(snapshot, subscription.names, type_url))
    return [found[name] for name in sorted(found)]


def _named(snapshot: Snapshot, names: Iterable[str], type_url: TypeUrl) -> Iterable[tuple[str, Resource]]:
    for name in names:
        resource = snapshot.resource(type_url, name)
        if resource is not None:
            yield name, resource
        elif type_url is TypeUrl.ENDPOINTS:
            # P-066: a cluster waits for its endpoints, so the answer is that there are none.
            yield name, no_endpoints(name)
