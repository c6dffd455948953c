"""Host names as the addresses of instances: which ones a proxy may be told to resolve.

What a name leads to is not known here. Names that are known to mean this machine or a cloud's metadata
service are refused; any other can be made to lead there by whoever keeps its zone.
"""

import re
from typing import Final

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_MAX: Final = 253  # RFC 1035, 2.3.4, without the final dot

# What ends in a number is read as an IPv4 address by many a resolver: 127.1, 0x7f000001 (WHATWG URL, "ends in
# a number").
_NUMBER: Final = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)

# RFC 6761, 6.3, and what /etc/hosts has on common systems.
_THIS_MACHINE: Final = frozenset(
    {"localhost", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback", "loopback"}
)

# Under these names clouds give out the credentials of a machine.
_METADATA: Final = (
    "instance-data",
    "instance-data.ec2.internal",
    "metadata",
    "metadata.azure.com",
    "metadata.azure.internal",
    "metadata.goog",
    "metadata.google.internal",
    "metadata.packet.net",
    "metadata.platformequinix.com",
    "metadata.tencentyun.com",
)


def host_name(text: str) -> str | None:
    """Give a DNS name in lower case and without its final dot; None for what is none, as `10.1`."""
    name = text.lower().removesuffix(".")
    if len(name) > _MAX or _NAME.fullmatch(name) is None:
        return None
    return None if _NUMBER.fullmatch(name.rpartition(".")[2]) else name


def means_this_machine(name: str) -> bool:
    """Tell whether a name is one of the proxy's own machine."""
    first, _, rest = name.partition(".")
    return first in _THIS_MACHINE or rest.rpartition(".")[2] == "localhost"


def is_metadata(name: str) -> bool:
    """Tell whether a name is known as that of a cloud's metadata service, or is below one."""
    return any(name == known or name.endswith(f".{known}") for known in _METADATA)
