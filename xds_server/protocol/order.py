"""The order of a push, as a table: make before break.

xDS protocol, "Eventual consistency considerations".
"""

from typing import Final

from xds_server.model.types import TypeUrl

PUSH_ORDER: Final = (
    # Runtime values stand on their own; Envoy waits for them before all else.
    TypeUrl.RUNTIME,
    # A certificate is needed before what uses it leaves warming; rotating one disturbs nothing.
    TypeUrl.SECRET,
    # Clusters before anything that may route to them; their removal waits for the ACK of all ROUTING.
    TypeUrl.CLUSTER,
    # Endpoints right behind the clusters they belong to: a cluster waits for them in warming (P-091).
    TypeUrl.ENDPOINTS,
    # Filters may call clusters; a listener waits in warming for its filters.
    TypeUrl.EXTENSION,
    # Listeners may name new route configurations, and so may scopes.
    TypeUrl.LISTENER,
    TypeUrl.SCOPED_ROUTES,
    # Routes are not warmed: what they lead to has to be there already (P-093).
    TypeUrl.ROUTES,
    # Virtual hosts are parts of route configurations.
    TypeUrl.VIRTUAL_HOST,
)

# A parent that is sent again makes Envoy expect its child again, and wait for it in warming (envoy#13009).
CHILD: Final = {TypeUrl.CLUSTER: TypeUrl.ENDPOINTS, TypeUrl.LISTENER: TypeUrl.ROUTES}

# Types whose SotW responses carry everything, and for which naming nothing means everything (P-047, P-060).
# The protocol lists the first two; Envoy treats scopes alike.
FULL_STATE: Final = frozenset({TypeUrl.CLUSTER, TypeUrl.LISTENER, TypeUrl.SCOPED_ROUTES})

# What leads to clusters and uses filters: those are removed only after these say what is used instead, and
# the client has acknowledged (P-086, P-094).
ROUTING: Final = (TypeUrl.LISTENER, TypeUrl.SCOPED_ROUTES, TypeUrl.ROUTES, TypeUrl.VIRTUAL_HOST)

# What delta removes last, in this order, each after what may still lead to it or serve by it is settled. A
# listener that changes serves by its old virtual hosts until the new one is warm.
REMOVED_AFTER: Final = {
    TypeUrl.VIRTUAL_HOST: (TypeUrl.LISTENER, TypeUrl.SCOPED_ROUTES, TypeUrl.ROUTES),
    TypeUrl.CLUSTER: ROUTING,
    TypeUrl.ENDPOINTS: ROUTING,
    TypeUrl.EXTENSION: ROUTING,
}
