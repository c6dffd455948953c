"""The xDS protocol as machines without I/O: requests and snapshots in, responses out.

A machine serves one stream. Its owner feeds it with `receive(request)` and `offer(snapshot)`, and sends what
`outbox()` gives, in that order. It keeps no clock, reads no socket and logs nothing: an ACK or a rejection
(NACK) is a value that `receive` returns. `P-nnn` in a comment is a rule of the xDS protocol by its number in
`docs/reference/protocol.md`.
"""

from xds_server.protocol.delta import DeltaMachine
from xds_server.protocol.ledger import ResourceStatus, State
from xds_server.protocol.messages import Answer, ProtocolError, Response
from xds_server.protocol.sotw import SotwMachine

__all__ = [
    "Answer",
    "DeltaMachine",
    "ProtocolError",
    "ResourceStatus",
    "Response",
    "SotwMachine",
    "State",
]
