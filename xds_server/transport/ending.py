"""How a call ends: a status of gRPC, and one sentence for the client."""

from dataclasses import dataclass
from typing import Final

import grpc


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a stream ends."""

    status: grpc.StatusCode
    sentence: str = ""


CLIENT_DONE: Final = End(status=grpc.StatusCode.OK)
BUG: Final = End(
    status=grpc.StatusCode.INTERNAL,
    sentence="a bug in this server ended the stream; its log has a stream.failed that tells more",
)


class RefusedError(Exception):
    """The client is served no longer, or not at all; `end` is what it is told."""

    def __init__(self, end: End) -> None:
        super().__init__(end.sentence)
        self.end = end


def refused(status: grpc.StatusCode, sentence: str) -> RefusedError:
    """Give the error that ends a call with a status and a sentence."""
    return RefusedError(End(status=status, sentence=sentence))
