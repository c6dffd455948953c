"""Values of this program as bytes for another process of this program: pickles that make nothing else.

A pickle can name any callable; here it may name data classes, enumerations and the like of `xds_server`, and
three functions of this file, and nothing else is looked up. Services are the bulk of it, and travel as
MessagePack inside: that takes an eighth of the time.
"""

import io
import pickle
from collections.abc import Callable
from dataclasses import is_dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

import msgspec

from xds_server.model.catalog import Service
from xds_server.model.table import Table

_OURS: Final = "xds_server."
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Service)


class CodingError(Exception):
    """The bytes are not a value that may come from another process of this program."""


def encode(value: Any) -> bytes:
    """Give the bytes of a value; parts of it that are the same object stay so."""
    out = io.BytesIO()
    _Pickler(out, protocol=5).dump(value)
    return out.getvalue()


def decode(data: bytes) -> Any:
    """Give the value. Raises CodingError."""
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except Exception as error:
        # The list of what unpickling may raise has no end.
        raise CodingError(f"{type(error).__name__}: {error}") from error


def _table(values: dict[str, Any]) -> Table[Any]:
    return Table(values)


def _mapping(values: dict[str, Any]) -> MappingProxyType[str, Any]:
    return MappingProxyType(values)


def _service(data: bytes) -> Service:
    return _DECODER.decode(data)


def _reduced(service: Service) -> Any:
    try:
        return _service, (_ENCODER.encode(service),)
    except (TypeError, ValueError, OverflowError):
        # What a source said may be no Unicode, or no number of 64 bits.
        return service.__reduce_ex__(5)


_MAKERS: Final[frozenset[Callable[..., Any]]] = frozenset({_table, _mapping, _service})


class _Pickler(pickle.Pickler):
    """Knows what pickle by itself does not, or is slow at."""

    dispatch_table: Final = {  # type: ignore[misc]  # typeshed lets an instance only have it
        Table: lambda table: (_table, (dict(table),)),
        MappingProxyType: lambda mapping: (_mapping, (dict(mapping),)),
        Service: _reduced,
    }


class _Unpickler(pickle.Unpickler):
    """Looks up what may be made, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Give a class of ours that only holds data, or a function of this file. Raises UnpicklingError."""
        if module.startswith(_OURS):
            found = super().find_class(module, name)
            if _holds_data(found) or found in _MAKERS:
                return found
        raise pickle.UnpicklingError(f"{module}.{name} may not be made")


def _holds_data(found: Any) -> bool:
    return isinstance(found, type) and (is_dataclass(found) or issubclass(found, Enum | tuple))
