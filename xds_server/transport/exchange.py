"""Services beside discovery: a client asks or tells, and each message is answered at once, or not at all."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final, TypeAlias

import grpc

from xds_server.telemetry import Event, log
from xds_server.transport.ending import RefusedError, refused

Take: TypeAlias = Callable[[bytes], Awaitable[bytes | None]]
"""Takes a message and gives the answer, None for silence. Raises RefusedError."""

_BUG: Final = "a bug in this server ended the call; its log has a stream.failed that tells more"

_WRITE_WITHIN: Final = 20.0
"""Seconds within which a client has to take an answer."""


class Exchange:
    """The open calls of one service, at most `most` at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = 0
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End every stream with UNAVAILABLE, and refuse new ones (P-012)."""
        self._stopping.set()

    async def stream(self, begin: Callable[[], AbstractContextManager[Take]], context: Any) -> None:
        """Serve one stream; `begin` gives what takes its messages, for as long as it is open."""
        await context.send_initial_metadata(())
        await self._guarded(partial(self._serve, begin, context), context)

    async def once(self, take: Take, message: bytes, context: Any) -> bytes | None:
        """Serve one unary call."""
        return await self._guarded(partial(take, message), context)

    async def _guarded(self, serve: Callable[[], Awaitable[bytes | None]], context: Any) -> bytes | None:
        """Serve a call if there is room; one that fails is told so, and no other notices."""
        try:
            with self._slot():
                return await serve()
        except RefusedError as error:
            refusal = error
        except grpc.aio.InternalError:
            # The client broke the connection while an answer was written.
            return None
        except Exception:  # noqa: BLE001 - whatever it is, the other calls go on
            log(Event.STREAM_FAILED, logging.ERROR, peer=context.peer(), exc_info=True)
            refusal = refused(grpc.StatusCode.INTERNAL, _BUG)
        await self._refuse(refusal, context)
        return None

    async def _serve(self, begin: Callable[[], AbstractContextManager[Take]], context: Any) -> None:
        with begin() as take:
            while (message := await self._read(context)) is not grpc.aio.EOF:
                answer = await take(message)
                if answer is not None:
                    await _write(answer, context)

    async def _read(self, context: Any) -> Any:
        """Give the next message, or EOF. Raises RefusedError where this server stops first."""
        reading = asyncio.ensure_future(context.read())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                raise refused(grpc.StatusCode.UNAVAILABLE, "this server is shutting down")
            return reading.result()
        finally:
            reading.cancel()
            stopping.cancel()

    @contextlib.contextmanager
    def _slot(self) -> Iterator[None]:
        if self._open >= self._most:
            sentence = f"there are {self._most} such calls already; try again, or another server"
            raise refused(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def _refuse(self, refusal: RefusedError, context: Any) -> None:
        if not self._stopping.is_set():
            log(Event.STREAM_REFUSED, logging.WARNING, peer=context.peer(), reason=refusal)
        with contextlib.suppress(grpc.aio.InternalError):
            await context.abort(refusal.end.status, refusal.end.sentence)


async def _write(answer: bytes, context: Any) -> None:
    try:
        async with asyncio.timeout(_WRITE_WITHIN):
            await context.write(answer)
    except TimeoutError:
        sentence = f"the client took no answer for {_WRITE_WITHIN:g} s"
        raise refused(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence) from None
