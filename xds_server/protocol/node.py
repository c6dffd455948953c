"""Who a client says it is, read from the `node` of its first request."""

from typing import Any, Final

from xds_server.model.catalog import is_service_name
from xds_server.model.proxy import Client, Group, Proxy
from xds_server.translate.addresses import MAX_PORT
from xds_server.translate.names import (
    ADMIN_PORT_METADATA,
    GATEWAY_METADATA,
    LUA_SPECIFIER,
    STATIC_CLUSTERS_METADATA,
)

MAX_METADATA: Final = 64 * 1024
"""How many bytes a node's metadata may have; nobody reads more than a few keys of it (P-117)."""

MAX_NODE_TEXT: Final = 512
"""How many characters a node's id may have; other texts of a node are cut to it (P-117)."""

_MAX_STATIC_CLUSTERS: Final = 64
"""More are not believed: routes would have to refuse each of them by name."""

_GRPC_AGENT: Final = "gRPC"
_VHDS_OVER_ADS: Final = (1, 37)


class NodeError(Exception):
    """The first request does not say who the client is."""


def proxy_of(node: Any, *, delta: bool) -> Proxy:
    """Read an `envoy.config.core.v3.Node`; only the known keys of its metadata are looked at.

    `delta` tells the variant of the stream. Raises NodeError where the node has no id, or one that is too
    long or no plain text (P-008), or metadata that is too large.
    """
    if not node.id:
        raise NodeError("the first request has no node.id; set it in the bootstrap, or with --service-node")
    if len(node.id) > MAX_NODE_TEXT:
        raise NodeError(f"node.id is longer than {MAX_NODE_TEXT} characters")
    if not node.id.isprintable():
        raise NodeError("node.id has characters that cannot be printed; give the node an id of plain text")
    if node.metadata.ByteSize() > MAX_METADATA:
        raise NodeError(f"node.metadata has more than {MAX_METADATA} bytes")
    client = Client.GRPC if node.user_agent_name.startswith(_GRPC_AGENT) else Client.ENVOY
    return Proxy(
        id=node.id,
        cluster=node.cluster[:MAX_NODE_TEXT],
        agent=f"{node.user_agent_name} {_version(node)}".strip()[:MAX_NODE_TEXT],
        group=Group(
            client=client,
            admin_port=_admin_port(node),
            on_demand=delta and not _refuses_on_demand(node),
            gateway=_gateway(node) if client is Client.ENVOY else "",
            static_clusters=_static_clusters(node) if client is Client.ENVOY else None,
        ),
    )


def _version(node: Any) -> str:
    """Give the client's version, as Envoy says it in numbers and gRPC in words."""
    if not node.HasField("user_agent_build_version"):
        return str(node.user_agent_version)
    version = node.user_agent_build_version.version
    return f"{version.major_number}.{version.minor_number}.{version.patch}"


def _refuses_on_demand(node: Any) -> bool:
    """Tell whether this is an Envoy before 1.37, which rejects VHDS over ADS (envoy#41996)."""
    version = node.user_agent_build_version.version
    told = node.user_agent_name == "envoy" and node.HasField("user_agent_build_version")
    return told and (version.major_number, version.minor_number) < _VHDS_OVER_ADS


def _gateway(node: Any) -> str:
    """Give the gateway service of Consul that this proxy says it is an instance of; empty for none."""
    if GATEWAY_METADATA not in node.metadata.fields:
        return ""
    name = str(node.metadata.fields[GATEWAY_METADATA].string_value)
    return name if is_service_name(name) else ""


def _static_clusters(node: Any) -> tuple[str, ...] | None:
    """Give the clusters of the bootstrap, if the node says which, and that it can find clusters by name.

    A node that lists no extensions at all was told by its bootstrap what to say, and is believed.
    """
    if STATIC_CLUSTERS_METADATA not in node.metadata.fields:
        return None
    told = [one.string_value for one in node.metadata.fields[STATIC_CLUSTERS_METADATA].list_value.values]
    if not 0 < len(told) <= _MAX_STATIC_CLUSTERS or not all(told):
        return None
    able = not node.extensions or any(one.name == LUA_SPECIFIER for one in node.extensions)
    return tuple(sorted(set(told))) if able else None


def _admin_port(node: Any) -> int | None:
    if ADMIN_PORT_METADATA not in node.metadata.fields:
        return None
    number = node.metadata.fields[ADMIN_PORT_METADATA].number_value
    return int(number) if number == number // 1 and 1 <= number <= MAX_PORT else None
