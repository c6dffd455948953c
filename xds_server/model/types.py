"""The xDS resource types this server serves, by the names the field uses."""

from enum import StrEnum
from typing import Final

_PREFIX: Final = "type.googleapis.com/"


class TypeUrl(StrEnum):
    """The type URLs of the v3 resource types (xDS protocol, "Resource Types")."""

    CLUSTER = _PREFIX + "envoy.config.cluster.v3.Cluster"
    ENDPOINTS = _PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
    LISTENER = _PREFIX + "envoy.config.listener.v3.Listener"
    ROUTES = _PREFIX + "envoy.config.route.v3.RouteConfiguration"
    SCOPED_ROUTES = _PREFIX + "envoy.config.route.v3.ScopedRouteConfiguration"
    VIRTUAL_HOST = _PREFIX + "envoy.config.route.v3.VirtualHost"
    SECRET = _PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
    EXTENSION = _PREFIX + "envoy.config.core.v3.TypedExtensionConfig"
    RUNTIME = _PREFIX + "envoy.service.runtime.v3.Runtime"

    @property
    def short(self) -> str:
        """The type's last word, as logs and metrics show it: `Cluster`, `Listener`, ..."""
        return self.rpartition(".")[2]
