"""What the clients of ready-made services are told where something is wrong.

grpc.aio answers an exception of a decoder or of a servicer by UNKNOWN with the name of a Python class and its
text. The services of this server take bytes and decode them themselves; around those of gRPC (health,
reflection) this does it.
"""

import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from xds_server.telemetry import Event, log

_KINDS: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")

_BUG: Final = "a bug in this server ended the call; its log has a stream.failed that tells more"


MOST_METADATA: Final = 64 * 1024
"""How many bytes the headers of a call may have: gRPC core lets a single long one through, and keeps it."""


async def _too_much(_requests: Any, context: Any) -> None:
    sentence = f"the metadata of the call has more than {MOST_METADATA} bytes"
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence)


_TOO_MUCH: Final = grpc.stream_stream_rpc_method_handler(_too_much)


class PlainErrors(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpcio has no types
    """Gives each method that has a decoder one status and one sentence for what is no message."""

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        """Give the handler of a call, guarded; None where there is no such method."""
        if (
            sum(len(key) + len(value) for key, value in handler_call_details.invocation_metadata)
            > MOST_METADATA
        ):
            return _TOO_MUCH
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        kind = next(name for name in _KINDS if getattr(handler, name) is not None)
        guarded = _guarded(getattr(handler, kind), handler)
        return handler._replace(request_deserializer=None, **{kind: guarded})


def _guarded(behaviour: Any, handler: Any) -> Any:
    """Give a method that takes bytes, of the same kind: grpc.aio tells a generator from a coroutine."""

    async def taken(message: Any, context: Any) -> Any:
        if handler.request_streaming:
            return _each(handler.request_deserializer, message, context)
        return await _decoded(handler.request_deserializer, message, context)

    async def answers(message: Any, context: Any) -> AsyncIterator[Any]:
        try:
            async for answer in behaviour(await taken(message, context), context):
                yield answer
        except grpc.aio.BaseError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the other calls go on
            await _broken(context)

    async def answer(message: Any, context: Any) -> Any:
        try:
            return await behaviour(await taken(message, context), context)
        except grpc.aio.BaseError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the other calls go on
            await _broken(context)

    return answers if inspect.isasyncgenfunction(behaviour) else answer


async def _each(decoder: Callable[[bytes], Any], messages: Any, context: Any) -> AsyncIterator[Any]:
    async for message in messages:
        yield await _decoded(decoder, message, context)


async def _decoded(decoder: Callable[[bytes], Any], message: bytes, context: Any) -> Any:
    try:
        return decoder(message)
    except DecodeError:
        sentence = "the message is not of the type that this method takes"
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, sentence)


async def _broken(context: Any) -> None:
    log(Event.STREAM_FAILED, logging.ERROR, peer=context.peer(), exc_info=True)
    await context.abort(grpc.StatusCode.INTERNAL, _BUG)
