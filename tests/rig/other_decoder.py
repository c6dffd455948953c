"""`envoy_data_plane` as a second decoder of what we send: another code base than google.protobuf."""

import importlib
import warnings
from collections.abc import Iterator
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.protobuf.symbol_database import Default

with warnings.catch_warnings():
    # It uses a feature of pydantic that pydantic wants to drop, which is not for us to mend.
    warnings.simplefilter("ignore")
    from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
    from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryResponse, DiscoveryResponse

__all__ = ["ClusterLoadAssignment", "DeltaDiscoveryResponse", "DiscoveryResponse", "disagreements"]


def disagreements(packed: bytes) -> list[str]:
    """Name the types in a serialised `Any`, at any depth, that the two decoders read differently.

    What the other one has read is written by it again, and read by google.protobuf: nothing may be lost.
    """
    wrapped = AnyMessage.FromString(packed)
    return [name for name, message in _messages(wrapped) if not _agree(name, message)]


def _agree(name: str, message: Message) -> bool:
    written = bytes(_other(name).parse(message.SerializeToString()))
    return bool(type(message).FromString(written) == message)


def _other(name: str) -> Any:
    package, _, short = name.rpartition(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(importlib.import_module(f"envoy_data_plane.{package}"), short)


def _messages(wrapped: AnyMessage) -> Iterator[tuple[str, Message]]:
    """Give the message inside an `Any`, and those inside the `Any`s of its fields, with their full names."""
    name = wrapped.type_url.rpartition("/")[2]
    message = Default().pool.FindMessageTypeByName(name)._concrete_class()
    wrapped.Unpack(message)
    yield name, message
    for inner in _wrapped(message):
        yield from _messages(inner)


def _wrapped(message: Message) -> Iterator[AnyMessage]:
    for _, value in message.ListFields():
        many = value.values() if hasattr(value, "values") else value
        for one in [many] if isinstance(many, Message) else many if hasattr(many, "__iter__") else ():
            if isinstance(one, AnyMessage):
                yield one
            elif isinstance(one, Message):
                yield from _wrapped(one)
