"""Messages against Envoy's own field rules, which its API carries with it, at every level of them.

What the rules of a message type are is read from its descriptor once. Only fields that are set are walked;
for those that are not, it is known beforehand whether that breaks a rule.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from typing import Any, Final, TypeAlias

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from validate import validate_pb2

from xds_server.snapshot.check.rules import NANOS, Rule, Rules, shown, size_rules, value_rules

Found: TypeAlias = tuple[tuple[str, str, str], ...]
"""What was found: the path of the field, its value as it may be shown, and what is wrong with that."""

Look: TypeAlias = Callable[[Any, int], Found]
"""Looks at the value of a field; the number says how many `Any` there are around it."""

_NOTHING: Final[Found] = ()

_DEEPEST: Final = 16
"""How many `Any` there may be inside each other: each begins a new count of protobuf's own limit."""

_REMEMBERED_BYTES: Final = 4096

_PREFIX: Final = "google.protobuf."
_WRAPPERS: Final = frozenset(
    f"{_PREFIX}{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What there is to look at in messages of one type.

    `set` are looks at fields by their number; `missing` are the numbers of fields of which one has to be set,
    with their names.
    """

    set: Mapping[int, Look]
    missing: tuple[tuple[frozenset[int], str], ...]


def broken(message: Message, skip: frozenset[str] = frozenset()) -> Found:
    """Give what in a message breaks Envoy's rules. Fields named in `skip`, by full name, are passed over."""
    return walker(message.DESCRIPTOR, skip)(message, 0)


@cache
def walker(descriptor: Descriptor, skip: frozenset[str] = frozenset()) -> Look:
    """Give what looks at messages of a type. Its rules are read when it meets the first one."""
    plans: list[_Plan] = []

    def walk(message: Any, depth: int) -> Found:
        if not plans:
            plans.append(plan_of(descriptor, skip))
        plan = plans[0]
        looks = plan.set
        found = _NOTHING
        listed = message.ListFields()
        for field, value in listed:
            look = looks.get(field.number)
            if look is not None:
                found += look(value, depth)
        return found + _missing(plan, listed) if plan.missing else found

    return walk


def _missing(plan: _Plan, listed: Iterable[tuple[FieldDescriptor, Any]]) -> Found:
    there = {field.number for field, _ in listed}
    return tuple(
        (names, "", "has to be set" if len(numbers) == 1 else "one of these has to be set")
        for numbers, names in plan.missing
        if there.isdisjoint(numbers)
    )


# --- reading the rules ---------------------------------------------------------------------------------


@cache
def plan_of(descriptor: Descriptor, skip: frozenset[str] = frozenset()) -> _Plan:
    """Read the rules of a message type. Raises UnknownRuleError where one cannot be asked."""
    whole = _said(descriptor)
    if whole[validate_pb2.disabled] or whole[validate_pb2.ignored]:
        return _Plan({}, ())
    looks: dict[int, Look] = {}
    missing: list[tuple[frozenset[int], str]] = []
    for field in descriptor.fields:
        if field.full_name in skip:
            continue
        rules = _said(field)[validate_pb2.rules]
        look = _look(field, rules, skip)
        if look is not None:
            looks[field.number] = look
        if _needed(field, rules):
            missing.append((frozenset({field.number}), field.name))
    for oneof in descriptor.oneofs:
        if _said(oneof)[validate_pb2.required]:
            names = ", ".join(field.name for field in oneof.fields)
            missing.append((frozenset(field.number for field in oneof.fields), names))
    return _Plan(looks, tuple(missing))


def _said(what: Any) -> Any:
    """Give the options that extensions of protobuf add to a message type, a field or a oneof."""
    return what.GetOptions().Extensions


def _needed(field: FieldDescriptor, rules: Any) -> bool:
    """Tell whether a field that is not set breaks a rule."""
    if field.is_repeated:
        kind = rules.WhichOneof("type")
        return kind is not None and any(rule.broken(()) for rule in size_rules(kind, getattr(rules, kind)))
    if field.containing_oneof is not None:
        # Of several of which one is set, only the one that is set is looked at.
        return False
    if field.message_type is not None:
        kind = rules.WhichOneof("type")
        return rules.message.required or (kind in ("any", "duration") and getattr(rules, kind).required)
    if field.has_presence or _ignores_empty(rules):
        return False
    return any(rule.broken(field.default_value) for rule in value_rules(field, rules))


def _ignores_empty(rules: Any) -> bool:
    kind = rules.WhichOneof("type")
    return kind is not None and getattr(getattr(rules, kind), "ignore_empty", False)


def _look(field: FieldDescriptor, rules: Any, skip: frozenset[str]) -> Look | None:
    if not field.is_repeated:
        return _named(field.name, _look_at_one(field, rules, skip))
    kind = rules.WhichOneof("type")
    stated = getattr(rules, kind) if kind is not None else None
    sizes = () if stated is None else size_rules(kind, stated)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _map_look(field, stated, sizes, skip)
    one = _look_at_one(field, stated.items if stated is not None else validate_pb2.FieldRules(), skip)
    return _list_look(field.name, one, sizes)


def _look_at_one(field: FieldDescriptor, rules: Any, skip: frozenset[str]) -> Look | None:
    """Give what looks at one value of a field; None where nothing can be wrong with it."""
    if rules.message.skip:
        return None
    tests = value_rules(field, rules)
    kind = field.message_type
    if kind is None:
        return _tested(tests) if tests else None
    if kind.full_name in _WRAPPERS:
        return _tested_wrapper(tests) if tests else None
    if kind.full_name == f"{_PREFIX}Duration":
        return _tested((_IN_RANGE, *tests))
    if kind.full_name == f"{_PREFIX}Any":
        return _look_into_any
    if kind.full_name.startswith(_PREFIX):
        return None
    if not tests and not _has_rules(kind):
        return None
    return walker(kind, skip)


def _has_rules(kind: Descriptor) -> bool:
    """Tell whether anything can be wrong with a message of this type, at any level."""
    seen, waiting = {kind.full_name}, [kind]
    while waiting:
        one = waiting.pop()
        if any(_said(field)[validate_pb2.rules].ByteSize() for field in one.fields):
            return True
        if any(_said(oneof)[validate_pb2.required] for oneof in one.oneofs):
            return True
        for field in one.fields:
            inner = field.message_type
            if inner is None or inner.full_name in seen:
                continue
            if inner.full_name in (f"{_PREFIX}Any", f"{_PREFIX}Duration"):
                return True
            seen.add(inner.full_name)
            waiting.append(inner)
    return False


# --- looking -------------------------------------------------------------------------------------------

_LONGEST: Final = 315_576_000_000
"""Seconds: 10,000 years, protobuf's own bound (`google/protobuf/duration.proto`)."""

_IN_RANGE: Final = Rule(
    lambda value: not (0 <= value.seconds <= _LONGEST and 0 <= value.nanos < NANOS),
    "which is no duration that Envoy takes",
)
"""Envoy takes no negative duration, and none past protobuf's own bounds."""


def _tested(tests: Rules) -> Look:
    def look(value: Any, _: int) -> Found:
        for test in tests:
            if test.broken(value):
                return (("", shown(value), test.says),)
        return _NOTHING

    return look


def _tested_wrapper(tests: Rules) -> Look:
    inner = _tested(tests)
    return lambda wrapper, depth: inner(wrapper.value, depth)


def _named(name: str, one: Look | None) -> Look | None:
    if one is None:
        return None

    def look(value: Any, depth: int) -> Found:
        found = one(value, depth)
        return _under(name, found) if found else found

    return look


def _under(name: str, found: Found) -> Found:
    return tuple((f"{name}.{path}" if path else name, value, says) for path, value, says in found)


def _sized(name: str, sizes: Rules) -> Callable[[Any], Found]:
    def look(entries: Any) -> Found:
        for rule in sizes:
            if rule.broken(entries):
                return ((name, f"{len(entries)} entries", rule.says),)
        return _NOTHING

    return look


def _list_look(name: str, one: Look | None, sizes: Rules) -> Look | None:
    if one is None and not sizes:
        return None
    measured = _sized(name, sizes)

    def look(entries: Any, depth: int) -> Found:
        found = measured(entries) if sizes else _NOTHING
        if one is not None:
            for number, entry in enumerate(entries):
                inner = one(entry, depth)
                if inner:
                    found += _under(f"{name}[{number}]", inner)
        return found

    return look


def _map_look(field: FieldDescriptor, stated: Any, sizes: Rules, skip: frozenset[str]) -> Look | None:
    kind = field.message_type
    if kind is None:
        return None
    none = validate_pb2.FieldRules()
    keys = _look_at_one(kind.fields_by_name["key"], stated.keys if stated is not None else none, skip)
    values = _look_at_one(kind.fields_by_name["value"], stated.values if stated is not None else none, skip)
    if keys is None and values is None and not sizes:
        return None
    measured = _sized(field.name, sizes)

    def look(entries: Any, depth: int) -> Found:
        found = measured(entries) if sizes else _NOTHING
        for key in sorted(entries):
            looks: Iterable[Found] = (
                keys(key, depth) if keys is not None else _NOTHING,
                values(entries[key], depth) if values is not None else _NOTHING,
            )
            found += _under(f"{field.name}[{shown(key)}]", tuple(chain.from_iterable(looks)))
        return found

    return look


# --- what is inside of an Any --------------------------------------------------------------------------


def _look_into_any(packed: AnyMessage, depth: int) -> Found:
    """Look into what an `Any` holds, as Envoy does where it unpacks it.

    Of a type that is not known here nothing can be said.
    """
    if depth >= _DEEPEST:
        return (("", packed.type_url, f"deeper than {_DEEPEST} messages inside each other"),)
    if len(packed.value) <= _REMEMBERED_BYTES:
        return _remembered(packed.type_url, packed.value, depth)
    return _inside(packed.type_url, packed.value, depth)


@lru_cache(maxsize=4096)
def _remembered(type_url: str, value: bytes, depth: int) -> Found:
    return _inside(type_url, value, depth)


def _inside(type_url: str, value: bytes, depth: int) -> Found:
    known = message_class(type_url)
    if known is None:
        return _NOTHING
    try:
        message = known.FromString(value)
    except DecodeError:
        return (("", type_url, "which is not what is in it"),)
    if isinstance(message, Duration | AnyMessage):
        return _NOTHING
    return walker(message.DESCRIPTOR)(message, depth + 1)


@lru_cache(maxsize=1024)
def message_class(type_url: str) -> type[Message] | None:
    """Give the class of the messages that a type URL names, or None where it is not known."""
    try:
        found = descriptor_pool.Default().FindMessageTypeByName(type_url.rpartition("/")[2])
    except KeyError:
        return None
    return message_factory.GetMessageClass(found)
