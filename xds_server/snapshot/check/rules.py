"""Envoy's field rules made ready to be asked: each rule of a field as a test of one value.

The rules are those of protoc-gen-validate, written as options of the fields in Envoy's own API ("Constraint
Rules" in its README). Envoy asks them of whatever it is sent, and rejects what breaks one.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from validate import validate_pb2

NANOS: Final = 1_000_000_000

_SHOWN: Final = 60
"""Characters of a value that a complaint shows."""

_UNSEEN: Final = frozenset({"ignore_empty", "required"})
"""Options that are no test of a value: they say when a field is looked at (`fields`)."""


class UnknownRuleError(Exception):
    """Envoy's API has a rule of a kind that nothing here can ask; the sentence names it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What makes a value wrong, and how that is said after `<field> is <value>, `."""

    broken: Callable[[Any], bool]
    says: str


Rules: TypeAlias = tuple[Rule, ...]

# "Well-known regex" of protoc-gen-validate: strict ones are RFC 9110's, the others only keep lines apart.
_HEADER: Final = {
    (validate_pb2.HTTP_HEADER_NAME, True): re.compile(r":?[0-9a-zA-Z!#$%&'*+\-.^_|~`]+"),
    (validate_pb2.HTTP_HEADER_VALUE, True): re.compile("[^\x00-\x08\x0a-\x1f\x7f]*"),
    (validate_pb2.HTTP_HEADER_NAME, False): re.compile("[^\x00\n\r]*"),
    (validate_pb2.HTTP_HEADER_VALUE, False): re.compile("[^\x00\n\r]*"),
}
_HEADER_SAYS: Final = {
    validate_pb2.HTTP_HEADER_NAME: "which no name of a header may be",
    validate_pb2.HTTP_HEADER_VALUE: "which no value of a header may be",
}


def value_rules(field: FieldDescriptor, rules: Any) -> Rules:
    """Compile what `FieldRules` say of one value of a field: a scalar, a wrapper's value, or a duration.

    Raises UnknownRuleError where they say something that cannot be asked here.
    """
    kind = rules.WhichOneof("type")
    if kind in (None, "any", "repeated", "map"):
        return ()
    stated = getattr(rules, kind)
    made = {option: _compiled(field, kind, stated, option, limit) for option, limit in _options(stated)}
    return tuple(_turned_round(made, stated).values())


def _turned_round(made: dict[str, Rule], stated: Any) -> dict[str, Rule]:
    """Join bounds of which the upper is below the lower: what lies between them is wrong then.

    protoc-gen-validate, "Numerics": "Inverting the values of `lt(e)` and `gt(e)` is valid".
    """
    low = next((name for name in ("gt", "gte") if name in made), None)
    high = next((name for name in ("lt", "lte") if name in made), None)
    if low is None or high is None or _number(getattr(stated, high)) >= _number(getattr(stated, low)):
        return made
    below, above = made.pop(low), made.pop(high)
    joined = Rule(lambda value: below.broken(value) and above.broken(value), f"{above.says} and {below.says}")
    return {**made, "between": joined}


def _number(value: Any) -> Any:
    return nanoseconds(value) if isinstance(value, Duration) else value


def size_rules(kind: str, stated: Any) -> Rules:
    """Compile what a rule says of the number of entries of a list or map."""
    found = []
    for option, limit in _options(stated, also=frozenset({"items", "keys", "values"})):
        make = _SIZE_TESTS.get(option)
        if make is None:
            raise UnknownRuleError(f"{kind}.{option}")
        found.append(make(limit))
    return tuple(found)


def _options(stated: Any, also: frozenset[str] = frozenset()) -> Iterator[tuple[str, Any]]:
    """Give the options of a rule that are a test, each with its limit."""
    for option, limit in stated.ListFields():
        if option.name not in _UNSEEN | also and option.name != "strict":
            yield option.name, limit


def _compiled(field: FieldDescriptor, kind: str, stated: Any, option: str, limit: Any) -> Rule:
    if option == "well_known_regex":
        pattern = _HEADER[limit, stated.strict]
        return Rule(lambda value: pattern.fullmatch(value) is None, _HEADER_SAYS[limit])
    if option == "defined_only":
        known = frozenset(field.enum_type.values_by_number if field.enum_type is not None else ())
        return Rule(lambda value: value not in known, "which the API does not define")
    make = _TESTS.get((kind if kind in _OWN_TESTS else "number", option))
    if make is None:
        raise UnknownRuleError(f"{kind}.{option} of {field.full_name}")
    return make(limit)


def nanoseconds(value: Duration) -> int:
    """Give a duration as one number."""
    return value.seconds * NANOS + value.nanos


def _members(limit: Iterable[Any], says: str, *, wanted: bool) -> Rule:
    listed = frozenset(limit)
    return Rule(lambda value: (value in listed) is not wanted, says.format(", ".join(map(shown, listed))))


def _pattern(limit: str) -> Rule:
    # In RE2 `$` is the end and nothing else; the patterns of the API mean the same in both otherwise.
    pattern = re.compile(limit.removeprefix("^").removesuffix("$"))
    return Rule(lambda value: pattern.fullmatch(value) is None, f"which does not match {limit}")


_SIZE_TESTS: Final[Mapping[str, Callable[[Any], Rule]]] = {
    "min_items": lambda n: Rule(lambda entries: len(entries) < n, f"fewer than {n}"),
    "min_pairs": lambda n: Rule(lambda entries: len(entries) < n, f"fewer than {n}"),
    "max_items": lambda n: Rule(lambda entries: len(entries) > n, f"more than {n}"),
    "max_pairs": lambda n: Rule(lambda entries: len(entries) > n, f"more than {n}"),
    "unique": lambda _: Rule(lambda entries: len(set(entries)) < len(entries), "with one of them twice"),
}
"""By the option; of lists and maps."""

_OWN_TESTS: Final = frozenset({"duration", "string", "bytes", "bool"})

_TESTS: Final[Mapping[tuple[str, str], Callable[[Any], Rule]]] = {
    ("number", "const"): lambda n: Rule(lambda value: value != n, f"not {n}"),
    ("number", "gt"): lambda n: Rule(lambda value: not value > n, f"not greater than {n}"),
    ("number", "gte"): lambda n: Rule(lambda value: not value >= n, f"less than {n}"),
    ("number", "lt"): lambda n: Rule(lambda value: not value < n, f"not less than {n}"),
    ("number", "lte"): lambda n: Rule(lambda value: not value <= n, f"greater than {n}"),
    ("number", "in"): lambda listed: _members(listed, "not one of {}", wanted=True),
    ("number", "not_in"): lambda listed: _members(listed, "one of {}", wanted=False),
    ("bool", "const"): lambda wanted: Rule(lambda value: value is not wanted, f"not {wanted}"),
    ("duration", "gt"): lambda d: _lasting(d, lambda value, n: value > n, "not longer than {}"),
    ("duration", "gte"): lambda d: _lasting(d, lambda value, n: value >= n, "shorter than {}"),
    ("duration", "lt"): lambda d: _lasting(d, lambda value, n: value < n, "not shorter than {}"),
    ("duration", "lte"): lambda d: _lasting(d, lambda value, n: value <= n, "longer than {}"),
    ("string", "const"): lambda text: Rule(lambda value: value != text, f"not {shown(text)}"),
    ("string", "len"): lambda n: Rule(lambda value: len(value) != n, f"not {n} characters long"),
    ("string", "min_len"): lambda n: Rule(lambda value: len(value) < n, f"shorter than {n} characters"),
    ("string", "max_len"): lambda n: Rule(lambda value: len(value) > n, f"longer than {n} characters"),
    ("string", "min_bytes"): lambda n: Rule(lambda value: len(value.encode()) < n, f"shorter than {n} bytes"),
    ("string", "max_bytes"): lambda n: Rule(lambda value: len(value.encode()) > n, f"longer than {n} bytes"),
    ("string", "prefix"): lambda t: Rule(
        lambda value: not value.startswith(t), f"not beginning with {shown(t)}"
    ),
    ("string", "suffix"): lambda t: Rule(lambda value: not value.endswith(t), f"not ending with {shown(t)}"),
    ("string", "contains"): lambda t: Rule(lambda value: t not in value, f"without {shown(t)}"),
    ("string", "in"): lambda listed: _members(listed, "not one of {}", wanted=True),
    ("string", "not_in"): lambda listed: _members(listed, "one of {}", wanted=False),
    ("string", "pattern"): _pattern,
    ("bytes", "len"): lambda n: Rule(lambda value: len(value) != n, f"not {n} bytes long"),
    ("bytes", "min_len"): lambda n: Rule(lambda value: len(value) < n, f"shorter than {n} bytes"),
    ("bytes", "max_len"): lambda n: Rule(lambda value: len(value) > n, f"longer than {n} bytes"),
}
"""By the kind of value and the option of the rule. Numbers are all of them, and enums."""


def _lasting(limit: Duration, holds: Callable[[int, int], bool], says: str) -> Rule:
    bound = nanoseconds(limit)
    return Rule(lambda value: not holds(nanoseconds(value), bound), says.format(f"{bound / NANOS:g}s"))


def shown(value: Any) -> str:
    """Show a value that may be hostile: escaped, and cut to what fits a line."""
    if isinstance(value, Duration):
        return f"{nanoseconds(value) / NANOS:g}s"
    if isinstance(value, str):
        return ascii(value[:_SHOWN])
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return str(value)
