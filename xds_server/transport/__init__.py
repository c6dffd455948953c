"""The gRPC edge: the server, its TLS, and the servicers that pump a protocol machine.

This floor moves bytes and decides nothing about them. It parses requests, hands them to the stream's machine,
and writes what the machine gives out.
"""

from xds_server.transport.admission import Caps
from xds_server.transport.reception import StreamLimits
from xds_server.transport.server import ConnectionOptions, PortTakenError, XdsServer, XdsServerOptions
from xds_server.transport.tls import TlsFiles

__all__ = [
    "Caps",
    "ConnectionOptions",
    "PortTakenError",
    "StreamLimits",
    "TlsFiles",
    "XdsServer",
    "XdsServerOptions",
]
