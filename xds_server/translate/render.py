"""Resources as a person reads them: Envoy's own field names, private keys hidden."""

import json
from collections.abc import Mapping
from typing import Any, Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from xds_server.model.types import TypeUrl

SECTIONS: Final[Mapping[TypeUrl, str]] = {
    TypeUrl.CLUSTER: "clusters",
    TypeUrl.ENDPOINTS: "endpoints",
    TypeUrl.LISTENER: "listeners",
    TypeUrl.ROUTES: "routes",
    TypeUrl.SECRET: "secrets",
}
"""What each type is called in rendered output, in the order it is shown."""

_MESSAGES: Final[Mapping[TypeUrl, type[Message]]] = {
    TypeUrl.CLUSTER: Cluster,
    TypeUrl.ENDPOINTS: ClusterLoadAssignment,
    TypeUrl.LISTENER: Listener,
    TypeUrl.ROUTES: RouteConfiguration,
    TypeUrl.SECRET: Secret,
}

_HIDDEN: Final = b"[redacted]"


def unpack(type_url: TypeUrl, packed: bytes) -> Message:
    """Give the message inside a serialised `google.protobuf.Any`, with nothing hidden."""
    message = _MESSAGES[type_url]()
    AnyMessage.FromString(packed).Unpack(message)
    return message


def to_dict(message: Message) -> dict[str, Any]:
    """Give a message as plain values, in the snake_case of Envoy's documentation; private keys are hidden."""
    shown: Any = type(message)()
    shown.CopyFrom(message)
    if isinstance(shown, Secret) and shown.tls_certificate.HasField("private_key"):
        shown.tls_certificate.private_key.inline_bytes = _HIDDEN
    # By way of text, as MessageToDict gives an `Any` as an OrderedDict, which YAML refuses.
    result: dict[str, Any] = json.loads(MessageToJson(shown, preserving_proto_field_name=True))
    return result
