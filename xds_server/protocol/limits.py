"""How much a client may ask for on one stream (P-117).

Generous for any Envoy there is, and small beside a server's memory: what one client sends must not hurt
another. A stream that asks for more is ended with a sentence that names the limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from xds_server.protocol.messages import ForeignNodeError, TooMuchError
from xds_server.protocol.names import Names


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Names of one type, and the characters of one name and of all names of one type."""

    names: int = 100_000
    name_length: int = 2_048
    characters: int = 16 * 1024 * 1024


LIMITS: Final = Limits()


def check_names(short: str, names: Names, limits: Limits = LIMITS) -> None:
    """Raise TooMuchError where a subscription to a type is larger than a client's may be."""
    if len(names) > limits.names:
        raise TooMuchError(f"the stream subscribes to more than {limits.names} names of {short}")
    if names.longest > limits.name_length:
        raise TooMuchError(f"a name of {short} is longer than {limits.name_length} characters")
    if names.characters > limits.characters:
        raise TooMuchError(f"the names of {short} have more than {limits.characters} characters together")


def check_node(given: str, node_id: str) -> None:
    """Raise ForeignNodeError where a later request names another node than the first, `node_id`.

    Its first word decided what a stream is served. A later node of the same id is what clients send that
    repeat it (Envoy: `set_node_on_first_message_only`).
    """
    if given not in ("", node_id):
        raise ForeignNodeError("node.id is not that of the first request; open a stream for each node")


def check_claims(versions: Mapping[str, str], limits: Limits = LIMITS) -> None:
    """Raise TooMuchError where a request says of more resources than a client may that it has them."""
    if len(versions) > limits.names:
        raise TooMuchError(f"the request lists more than {limits.names} initial_resource_versions")
    if versions and max(map(len, versions)) > limits.name_length:
        raise TooMuchError(
            f"a name of initial_resource_versions is longer than {limits.name_length} characters"
        )
