"""Consul's filter expressions over instances: which of them a subset has.

https://developer.hashicorp.com/consul/api-docs/features/filtering . The rows of `/v1/health/service` are not
kept, so only what the catalog has of them can be asked for; see the tables.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TypeAlias

from xds_server.model.catalog import Instance
from xds_server.translate.filter_grammar import (
    All,
    Comparison,
    Expression,
    FilterError,
    Not,
    Operator,
    Some,
    parse,
)
from xds_server.translate.patterns import PatternError, searcher

__all__ = ["FilterError", "Test", "compiled"]

Test: TypeAlias = Callable[[Instance], bool]
Selector: TypeAlias = tuple[str, ...]

# Enough for what 64 bits hold.
_MAX_DIGITS: Final = 19

# --- what can be asked for, in Consul's words --------------------------------------------------------

_TEXTS: Final[Mapping[Selector, Callable[[Instance], str]]] = MappingProxyType(
    {
        ("Service", "ID"): lambda one: one.id,
        ("Node", "Node"): lambda one: one.node,
        ("Node", "Datacenter"): lambda one: one.datacenter,
    }
)
_NUMBERS: Final[Mapping[Selector, Callable[[Instance], int]]] = MappingProxyType(
    {
        ("Service", "Port"): lambda one: one.port,
        ("Service", "Weights", "Passing"): lambda one: one.weights.passing,
        ("Service", "Weights", "Warning"): lambda one: one.weights.warning,
    }
)
_LISTS: Final[Mapping[Selector, Callable[[Instance], tuple[str, ...]]]] = MappingProxyType(
    {("Service", "Tags"): lambda one: one.tags}
)
_MAPS: Final[Mapping[Selector, Callable[[Instance], tuple[tuple[str, str], ...]]]] = MappingProxyType(
    {
        ("Service", "Meta"): lambda one: one.meta,
        ("Node", "Meta"): lambda one: one.node_meta,
    }
)

# What Consul could answer and the catalog cannot: the selectors that begin so, and why.
_NOT_KEPT: Final[Mapping[Selector, str]] = MappingProxyType(
    {
        ("Checks",): "a subset that changes with its checks is what onlypassing is for",
        ("Service", "Address"): "the address of a service and that of its node are kept as one",
        ("Node", "Address"): "the address of a service and that of its node are kept as one",
        ("Service",): "of a service its ID, Port, Tags, Meta and Weights are kept",
        ("Node",): "of a node its Node, Datacenter and Meta are kept",
    }
)


@lru_cache(maxsize=1024)
def compiled(expression: str) -> Test:
    """Give what tells whether an instance is among those that the expression takes; all for an empty one.

    A missing key of Meta equals, contains and matches nothing; Consul 1.8 lets it match every regular
    expression, which newer versions do not. As in them a text can be asked whether it is empty.
    Raises FilterError.
    """
    return _test(parse(expression)) if expression else lambda _: True


def _test(expression: Expression) -> Test:
    match expression:
        case Not(of):
            inner = _test(of)
            return lambda one: not inner(one)
        case All(parts):
            every = [_test(part) for part in parts]
            return lambda one: all(test(one) for test in every)
        case Some(parts):
            some = [_test(part) for part in parts]
            return lambda one: any(test(one) for test in some)
        case Comparison():
            return _comparison(expression)


def _comparison(asked: Comparison) -> Test:
    selector = asked.selector
    if selector in _TEXTS:
        read, is_so = _TEXTS[selector], _text_test(asked)
        return lambda one: is_so(read(one))
    if selector in _NUMBERS:
        count, number = _NUMBERS[selector], _number(asked)
        return lambda one: count(one) == number
    if selector in _LISTS:
        return _members(asked, _LISTS[selector])
    if selector in _MAPS:
        pairs = _MAPS[selector]
        return _members(asked, lambda one: tuple(key for key, _ in pairs(one)))
    if selector[:-1] in _MAPS:
        return _value_of_key(asked, _MAPS[selector[:-1]], selector[-1])
    raise FilterError(_unknown(selector))


def _text_test(asked: Comparison) -> Callable[[str], bool]:
    value = asked.value
    match asked.operator:
        case Operator.EQUAL:
            return lambda text: text == value
        case Operator.CONTAINS:
            return lambda text: value in text
        case Operator.MATCHES:
            try:
                return searcher(value)
            except PatternError as error:
                raise FilterError(f"its regular expression cannot be used: {error}") from None
        case Operator.EMPTY:
            return lambda text: not text


def _number(asked: Comparison) -> int:
    if asked.operator is not Operator.EQUAL:
        raise FilterError(_no_such(asked, "a number"))
    digits = asked.value.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MAX_DIGITS):
        raise FilterError(f"{asked.value[:40]!a} is no whole number")
    return int(asked.value)


def _members(asked: Comparison, read: Callable[[Instance], tuple[str, ...]]) -> Test:
    value = asked.value
    match asked.operator:
        case Operator.CONTAINS:
            return lambda one: value in read(one)
        case Operator.EMPTY:
            return lambda one: not read(one)
        case _:
            raise FilterError(_no_such(asked, "a list"))


def _value_of_key(
    asked: Comparison, read: Callable[[Instance], tuple[tuple[str, str], ...]], key: str
) -> Test:
    is_so = _text_test(asked)
    if asked.operator is Operator.EMPTY:
        return lambda one: is_so(dict(read(one)).get(key, ""))
    return lambda one: any(name == key and is_so(value) for name, value in read(one))


def _unknown(selector: Selector) -> str:
    named = ".".join(selector)[:80]
    for length in (2, 1):
        if selector[:length] in _NOT_KEPT:
            return f"{named!a} cannot be asked for here: {_NOT_KEPT[selector[:length]]}"
    return f"there is no field {named!a}"


def _no_such(asked: Comparison, kind: str) -> str:
    return f'{".".join(asked.selector)[:80]!a} is {kind}, for which there is no "{asked.operator}"'
