"""One request under way over HTTP/2: collects its answer within the limits."""

import asyncio
from collections.abc import Iterable

from xds_server.consul.failures import too_long, too_many_headers
from xds_server.consul.transport import OK, Limits, Reply


class Stream:
    """What has come of the answer to `path`; `reply` becomes the reply, or the error."""

    def __init__(self, path: str, limits: Limits, reply: asyncio.Future[Reply]) -> None:
        self.reply = reply
        self.silence: asyncio.Timeout | None = None
        self.ended = False
        self._path = path
        self._limits = limits
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        # Who asked may be gone by then, and an error that nobody takes would be logged.
        reply.add_done_callback(lambda done: done.cancelled() or done.exception())

    def take_headers(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """Take the headers of the answer; h2 has seen to it that there is one status."""
        found = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
        if len(found) > self._limits.headers:
            self.fail(too_many_headers(self._path, self._limits.headers))
            return
        self._headers = dict(found)
        status = self._headers.pop(":status", "")
        self._status = (
            int(status) if status.isascii() and status.isdigit() and len(status) == len("200") else 0
        )

    def take(self, data: bytes, until: float) -> None:
        """Take a piece of the body; the next one has to come until a time of the event loop."""
        if self.reply.done():
            return
        self._body += data
        if self._status != OK and len(self._body) >= self._limits.said:
            self._complete()
        elif len(self._body) > self._limits.body:
            self.fail(too_long(self._path, self._limits.body))
        elif self.silence is not None and not self.silence.expired():
            self.silence.reschedule(until)

    def end(self) -> None:
        """Take the end of the answer."""
        self.ended = True
        self._complete()

    def fail(self, error: Exception) -> None:
        """End with an error, unless the answer is there."""
        if not self.reply.done():
            self.reply.set_exception(error)

    def _complete(self) -> None:
        if not self.reply.done():
            body = bytes(self._body if self._status == OK else self._body[: self._limits.said])
            self.reply.set_result(Reply(status=self._status, headers=self._headers, body=body))
