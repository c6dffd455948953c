"""Resources as a person reads them: Envoy's own field names, private keys hidden."""

import json
from collections.abc import Mapping
from typing import Any, Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import DataSource
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.config.route.v3.scoped_route_pb2 import ScopedRouteConfiguration
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.service.runtime.v3.rtds_pb2 import Runtime
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from udpa.annotations.sensitive_pb2 import sensitive

from xds_server.model.types import TypeUrl

SECTIONS: Final[Mapping[TypeUrl, str]] = {
    TypeUrl.CLUSTER: "clusters",
    TypeUrl.ENDPOINTS: "endpoints",
    TypeUrl.LISTENER: "listeners",
    TypeUrl.SCOPED_ROUTES: "scoped_routes",
    TypeUrl.ROUTES: "routes",
    TypeUrl.VIRTUAL_HOST: "virtual_hosts",
    TypeUrl.SECRET: "secrets",
    TypeUrl.EXTENSION: "extensions",
    TypeUrl.RUNTIME: "runtime",
}
"""What each type is called in rendered output, in the order it is shown."""

_MESSAGES: Final[Mapping[TypeUrl, type[Message]]] = {
    TypeUrl.CLUSTER: Cluster,
    TypeUrl.ENDPOINTS: ClusterLoadAssignment,
    TypeUrl.LISTENER: Listener,
    TypeUrl.SCOPED_ROUTES: ScopedRouteConfiguration,
    TypeUrl.ROUTES: RouteConfiguration,
    TypeUrl.VIRTUAL_HOST: VirtualHost,
    TypeUrl.SECRET: Secret,
    TypeUrl.EXTENSION: TypedExtensionConfig,
    TypeUrl.RUNTIME: Runtime,
}

_HIDDEN: Final = b"[redacted]"


def unpack(type_url: TypeUrl, packed: bytes) -> Message:
    """Give the message inside a serialised `google.protobuf.Any`, with nothing hidden."""
    message = _MESSAGES[type_url]()
    AnyMessage.FromString(packed).Unpack(message)
    return message


def redacted(message: Message) -> Message:
    """Give a message as it may be seen: of a secret, whatever Envoy's API calls sensitive is hidden.

    What is hidden stays a field that is set, so that one sees that there is a key.
    """
    if not isinstance(message, Secret):
        return message
    shown = Secret()
    shown.CopyFrom(message)
    _hide(shown)
    return shown


def _hide(message: Message) -> None:
    fields: Any = message.ListFields()
    for field, value in fields:
        if field.GetOptions().Extensions[sensitive]:
            message.ClearField(field.name)
            if isinstance(value, DataSource):
                getattr(message, field.name).inline_bytes = _HIDDEN
        elif isinstance(value, Message):
            _hide(value)


def to_dict(message: Message) -> dict[str, Any]:
    """Give a message as plain values, in the snake_case of Envoy's documentation; private keys are hidden."""
    # By way of text, as MessageToDict gives an `Any` as an OrderedDict, which YAML refuses.
    result: dict[str, Any] = json.loads(MessageToJson(redacted(message), preserving_proto_field_name=True))
    return result
