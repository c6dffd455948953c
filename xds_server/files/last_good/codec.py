"""Between frozen dataclasses and protobuf messages that mirror them, field by field.

One walker over the type hints takes the place of two functions for each class. What stands for what:

| hint                 | protobuf                                                                     |
|----------------------|------------------------------------------------------------------------------|
| str, int, float, bool, bytes | `optional` of the same; a whole number beyond 64 bits becomes the last one |
| StrEnum              | `optional string`                                                            |
| dataclass            | the message of its name                                                      |
| A or B (dataclasses) | a message with a field for each, called as the class in lower case           |
| T or None            | as T; not set for None                                                       |
| tuple[T, ...], frozenset[T] | `repeated`                                                            |
| tuple[A, B]          | a message with the fields first, second, ...                                 |
| Mapping[str, T]      | `repeated` of a message with key and value, in the mapping's order           |
| Table[T]             | the same, in sorted order                                                    |

A field that has its default is not written. One that is None where that is not its default is named in the
field `none` of its message, one that is empty where that is not its default in the field `empty`.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, TypeAlias, Union, get_args, get_origin, get_type_hints

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from xds_server.files.last_good.schema import descriptor, message_class
from xds_server.model.entries import Override
from xds_server.model.policy import ServicePolicy
from xds_server.model.problem import Problem
from xds_server.model.table import Table
from xds_server.runtime import control

Plain: TypeAlias = Any
"""What a protobuf message is made of: scalars, dicts and lists."""

_INT64: Final = 2**63
_UNSET: Final = object()
_SAID_APART: Final[dict[str, Any]] = {"none": None, "empty": ()}
# What a newer version may have that this one does not know, and that can be missed.
_MAY_BE_MISSED: Final = (Problem, Override)


class Codec:
    """Two functions: `encode` makes a value plain, `decode` makes it again from what a message holds.

    `decode` raises ValueError, TypeError or KeyError for what is no such value.
    """

    __slots__ = ("decode", "encode")

    def __init__(self, encode: Callable[[Any], Plain], decode: Callable[[Any], Any]) -> None:
        self.encode = encode
        self.decode = decode


def to_message(value: Any) -> Message:
    """Give the message of a dataclass that has one."""
    made = message_class(descriptor(message_name(type(value))))
    return made(**of_class(type(value)).encode(value))


def from_message(kind: type[Any], message: Message) -> Any:
    """Give the dataclass `kind` that a message says. Raises ValueError, TypeError or KeyError."""
    return of_class(kind).decode(message)


def message_name(kind: Any) -> str:
    """Give the name of a dataclass's message: its own, but for two that are called alike."""
    return "PinnedState" if kind is control.Kept else str(kind.__name__)


# --- classes ---------------------------------------------------------------------------------------------


_CODECS: Final[dict[Any, Codec]] = {}


def of_class(kind: Any) -> Codec:
    """Give the codec of a dataclass; all fields but those that are equal to their defaults are written."""
    if kind not in _CODECS:
        _CODECS[kind] = _made_for(kind)
    return _CODECS[kind]


def _made_for(kind: Any) -> Codec:
    if kind is Override:
        return _of_override()
    of = descriptor(message_name(kind))
    codecs = _field_codecs(kind, of)
    written = [
        (one.name, attrgetter(one.name), _default(one), codecs[one.name].encode) for one in fields(kind)
    ]
    decoders = {name: codec.decode for name, codec in codecs.items()}
    # What is repeated no times at all cannot be told from what was not said.
    empty = {
        one.name: decoders[one.name](())
        for one in fields(kind)
        if _default(one) is _UNSET and of.fields_by_name[one.name].is_repeated
    }

    def encode(value: Any) -> Plain:
        plain: dict[str, Any] = {}
        for name, get, default, make in written:
            held = get(value)
            if held is default or held == default:
                continue
            if held is None:
                plain.setdefault("none", []).append(name)
            elif default is None and held == ():
                plain.setdefault("empty", []).append(name)
            else:
                plain[name] = make(held)
        return plain

    def decode(message: Message) -> Any:
        found = empty.copy()
        for field, held in message.ListFields():
            name = field.name
            if name in _SAID_APART:
                found.update(dict.fromkeys(held, _SAID_APART[name]))
            else:
                make = decoders[name]
                found[name] = held if make is _as_it_is else make(held)
        return kind(**found)

    return Codec(encode, decode)


def _field_codecs(kind: Any, of: Descriptor) -> dict[str, Codec]:
    hints = get_type_hints(kind)
    return {one.name: _codec(hints[one.name], of.fields_by_name[one.name]) for one in fields(kind)}


def _default(field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else _UNSET


def _of_override() -> Codec:
    """Give the codec of an Override, whose value has the type of the field of a ServicePolicy that it names.

    It is written as that field of a message ServicePolicy; without a message it is None.
    """
    codecs = _field_codecs(ServicePolicy, descriptor(ServicePolicy.__name__))

    def encode(value: Override) -> Plain:
        plain: dict[str, Any] = {"field": value.field, "source": _text(value.source)}
        if value.value is not None:
            plain["value"] = {value.field: codecs[value.field].encode(value.value)}
        return plain

    def decode(message: Any) -> Override:
        codec = codecs[message.field]
        held = getattr(message.value, message.field) if message.HasField("value") else None
        value = None if held is None else codec.decode(held)
        return Override(field=message.field, value=value, source=message.source)

    return Codec(encode, decode)


# --- hints -----------------------------------------------------------------------------------------------


def _codec(hint: Any, field: FieldDescriptor) -> Codec:
    origin, arguments = get_origin(hint), get_args(hint)
    of: Any = field.message_type
    if origin in (Union, types.UnionType):
        some = [one for one in arguments if one is not type(None)]
        return _codec(some[0], field) if len(some) == 1 else _of_union(some, of)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _of_fixed(arguments, of)
    if origin in (tuple, frozenset):
        return _of_many(origin, arguments[0], field)
    if origin is Mapping:
        return _of_mapping(arguments[1], of, MappingProxyType)
    if origin is Table:
        return _of_mapping(arguments[0], of, Table)
    return of_class(hint) if is_dataclass(hint) else _scalar(hint)


def _scalar(hint: Any) -> Codec:
    if issubclass(hint, Enum):
        return Codec(attrgetter("value"), {one.value: one for one in hint}.__getitem__)
    return Codec(_ENCODERS.get(hint, hint), _as_it_is)


def _as_it_is(held: Any) -> Any:
    return held


def _whole(value: int) -> int:
    return value if -_INT64 <= value < _INT64 else (_INT64 - 1 if value > 0 else -_INT64)


def _text(value: str) -> str:
    # What is no Unicode, as half of a pair of surrogates, cannot be written.
    return value if value.isascii() else value.encode(errors="replace").decode()


_ENCODERS: Final[dict[Any, Callable[[Any], Plain]]] = {int: _whole, str: _text}


def _of_many(kind: Callable[[Any], Any], item: Any, field: FieldDescriptor) -> Codec:
    codec = _codec(item, field)
    decode_one = codec.decode

    def encode(values: Any) -> Plain:
        # A set has no order of its own, and equal values are to give equal bytes.
        return [codec.encode(one) for one in (values if kind is tuple else sorted(values))]

    def decode(held: Any) -> Any:
        return kind(held) if decode_one is _as_it_is else kind([decode_one(one) for one in held])

    return Codec(encode, _without_the_unknown(decode_one) if item in _MAY_BE_MISSED else decode)


def _without_the_unknown(decode_one: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def decode(held: Any) -> tuple[Any, ...]:
        found = []
        for one in held:
            try:
                found.append(decode_one(one))
            except (ValueError, TypeError, KeyError):
                continue
        return tuple(found)

    return decode


def _of_fixed(items: tuple[Any, ...], of: Descriptor) -> Codec:
    names = [one.name for one in of.fields]
    codecs = [_codec(item, one) for item, one in zip(items, of.fields, strict=True)]
    parts = tuple(zip(names, codecs, strict=True))
    always_there = all(one.decode is _as_it_is for one in codecs) and not any(map(get_args, items))

    def encode(value: tuple[Any, ...]) -> Plain:
        held = zip(parts, value, strict=True)
        return {name: codec.encode(one) for (name, codec), one in held if one is not None}

    def decode(message: Any) -> tuple[Any, ...]:
        return tuple(
            codec.decode(getattr(message, name)) if message.HasField(name) else None for name, codec in parts
        )

    return Codec(encode, attrgetter(*names) if always_there else decode)


def _of_mapping(item: Any, of: Descriptor, made: Callable[[dict[str, Any]], Any]) -> Codec:
    codec = _codec(item, of.fields_by_name["value"])

    def encode(values: Mapping[str, Any]) -> Plain:
        return [{"key": _text(key), "value": codec.encode(value)} for key, value in values.items()]

    def decode(held: Any) -> Any:
        return made({one.key: codec.decode(one.value) for one in held})

    return Codec(encode, decode)


def _of_union(kinds: list[Any], of: Descriptor) -> Codec:
    names = {kind: snake_case(kind.__name__) for kind in kinds}
    by_name = {name: of_class(kind) for kind, name in names.items()}

    def encode(value: Any) -> Plain:
        name = names[type(value)]
        return {name: by_name[name].encode(value)}

    def decode(message: Message) -> Any:
        ((field, held),) = message.ListFields()
        return by_name[field.name].decode(held)

    assert {one.name for one in of.fields} == set(by_name)  # noqa: S101 - a slip in the .proto, seen by every test
    return Codec(encode, decode)


def snake_case(name: str) -> str:
    """Give the name of a union's field for a class: `upstream_tls` for `UpstreamTls`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
