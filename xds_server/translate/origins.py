"""Which object has to be mended when a resource turns out to be bad."""

from xds_server.model.catalog import Catalog
from xds_server.model.policy import Policy
from xds_server.model.types import TypeUrl
from xds_server.translate.names import services_of


def origin(type_url: TypeUrl, name: str, catalog: Catalog, policy: Policy) -> str:
    """Name what a resource is made of, as far as its own name tells: a service, a listener, a secret.

    E.g. `consul service "user"`, or what `Listener.source` says.
    """
    if type_url in (TypeUrl.CLUSTER, TypeUrl.ENDPOINTS):
        known = [service for service in services_of(name) if service in catalog.services]
        if known:
            return f'consul service "{known[0]}"'
    if type_url in (TypeUrl.LISTENER, TypeUrl.ROUTES, TypeUrl.VIRTUAL_HOST):
        listener = name.partition("/")[0].partition(":")[0]
        for one in policy.listeners:
            if one.name == listener:
                return one.source
    return f"{type_url.short} {name}"
