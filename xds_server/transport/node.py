"""Who a client says it is, read from the `node` of its first request."""

from typing import Any, Final

from xds_server.model.proxy import Group, Proxy
from xds_server.translate.addresses import MAX_PORT
from xds_server.translate.names import ADMIN_PORT_METADATA

MAX_NODE_ID: Final = 512


class NodeError(Exception):
    """The first request does not say who the client is."""


def proxy_of(node: Any) -> Proxy:
    """Read an `envoy.config.core.v3.Node`; only the known keys of its metadata are looked at.

    Raises NodeError where the node has no id, or one that is too long.
    """
    if not node.id:
        raise NodeError("the first request has no node.id; set it in the bootstrap, or with --service-node")
    if len(node.id) > MAX_NODE_ID:
        raise NodeError(f"node.id is longer than {MAX_NODE_ID} characters")
    return Proxy(id=node.id, cluster=node.cluster[:MAX_NODE_ID], group=Group(admin_port=_admin_port(node)))


def _admin_port(node: Any) -> int | None:
    if ADMIN_PORT_METADATA not in node.metadata.fields:
        return None
    number = node.metadata.fields[ADMIN_PORT_METADATA].number_value
    return int(number) if number == number // 1 and 1 <= number <= MAX_PORT else None
