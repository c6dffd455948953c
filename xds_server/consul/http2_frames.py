"""The heads of HTTP/2 frames (RFC 9113 section 4.1), looked at before the frames have come.

`h2` judges a frame once it is whole, so a peer that speaks something else would keep it waiting for the
16 MB that its first bytes seem to announce. It also takes a megabyte of headers in CONTINUATION frames, whose
Huffman code would hold the event loop up for seconds; Consul's headers fit into one frame a hundred times.
"""

from typing import Final

_HEAD: Final = 9
_LENGTH: Final = 3
_CONTINUATION: Final = 9


class FrameHeads:
    """Follows one direction of a connection; `most` is the largest payload that is allowed, in bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._head = b""
        self._left = 0

    def allow(self, data: bytes) -> bool:
        """Take the next bytes, in pieces of any size; tell whether all frames that begin there may be."""
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            taken = data[at : at + _HEAD - len(self._head)]
            self._head += taken
            at += len(taken)
            if len(self._head) == _HEAD:
                self._left = int.from_bytes(self._head[:_LENGTH])
                if self._left > self._most or self._head[_LENGTH] == _CONTINUATION:
                    return False
                self._head = b""
        return True
