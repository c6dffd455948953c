"""The order of a push, as a table: make before break.

xDS protocol, "Eventual consistency considerations".
"""

from typing import Final

from xds_server.model.types import TypeUrl

PUSH_ORDER: Final = (
    # A certificate is needed before what uses it leaves warming; rotating one disturbs nothing.
    TypeUrl.SECRET,
    # Clusters before anything that may route to them; their removal waits for the last row's ACK.
    TypeUrl.CLUSTER,
    # Endpoints right behind the clusters they belong to: a cluster waits for them in warming (P-091).
    TypeUrl.ENDPOINTS,
    # Listeners may name new route configurations.
    TypeUrl.LISTENER,
    # Routes are not warmed: what they lead to has to be there already (P-093).
    TypeUrl.ROUTES,
)

# A parent that is sent again makes Envoy expect its child again, and wait for it in warming (envoy#13009).
CHILD: Final = {TypeUrl.CLUSTER: TypeUrl.ENDPOINTS, TypeUrl.LISTENER: TypeUrl.ROUTES}

# Types whose SotW responses carry everything, and for which naming nothing means everything (P-047, P-060).
FULL_STATE: Final = frozenset({TypeUrl.CLUSTER, TypeUrl.LISTENER})

# A cluster is removed only after these say what is used instead, and the client has acknowledged (P-094).
ROUTING: Final = (TypeUrl.LISTENER, TypeUrl.ROUTES)
