"""Which nodes a person asks for: the matchers of Envoy's API (envoy/type/matcher/v3), for CSDS."""

from collections.abc import Callable, Iterable
from typing import Final

from envoy.config.core.v3.base_pb2 import Node
from envoy.type.matcher.v3.node_pb2 import NodeMatcher
from envoy.type.matcher.v3.number_pb2 import DoubleMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from envoy.type.matcher.v3.struct_pb2 import StructMatcher
from envoy.type.matcher.v3.value_pb2 import ValueMatcher
from google.protobuf.struct_pb2 import Struct, Value

MAX_MATCHERS: Final = 100
"""How many matchers one request may have: each is tried on each client."""


class UnsupportedMatcherError(Exception):
    """This server does not know how to match that; the sentence says what it knows."""


_TEXT: Final[dict[str, Callable[[str, str], bool]]] = {
    "exact": str.__eq__,
    "prefix": str.startswith,
    "suffix": str.endswith,
    "contains": str.__contains__,
}
# No regular expression: unlike RE2, Python's engine can be kept busy for ever by a stranger's.


def matches(node: Node, matchers: Iterable[NodeMatcher]) -> bool:
    """Tell whether any of the matchers matches a node; without matchers every node is meant.

    Raises UnsupportedMatcherError for a kind of matcher that is not known here, whatever the node.
    """
    given = list(matchers)
    found = [_node_matches(node, matcher) for matcher in given]
    return any(found) or not given


def check(matchers: Iterable[NodeMatcher]) -> None:
    """Raise UnsupportedMatcherError where `matches` would for some node, or there are too many."""
    given = list(matchers)
    if len(given) > MAX_MATCHERS or sum(len(one.node_metadatas) for one in given) > MAX_MATCHERS:
        raise UnsupportedMatcherError(f"there are more than {MAX_MATCHERS} matchers")
    for matcher in given:
        if matcher.HasField("node_id"):
            _text_kind(matcher.node_id)
        for metadata in matcher.node_metadatas:
            _value_kind(metadata.value)


def _node_matches(node: Node, matcher: NodeMatcher) -> bool:
    """All that one matcher says has to hold."""
    named = not matcher.HasField("node_id") or _text_matches(node.id, matcher.node_id)
    return named and all(_struct_matches(node.metadata, one) for one in matcher.node_metadatas)


def _text_kind(matcher: StringMatcher) -> str:
    kind = matcher.WhichOneof("match_pattern")
    if kind not in _TEXT:
        known = ", ".join(_TEXT)
        raise UnsupportedMatcherError(
            f"a text is not matched by {kind or 'nothing'} here; use one of {known}"
        )
    return str(kind)


def _text_matches(text: str, matcher: StringMatcher) -> bool:
    kind = _text_kind(matcher)
    pattern: str = getattr(matcher, kind)
    if matcher.ignore_case:
        text, pattern = text.lower(), pattern.lower()
    return _TEXT[kind](text, pattern)


def _struct_matches(struct: Struct, matcher: StructMatcher) -> bool:
    value = Value(struct_value=struct)
    for segment in matcher.path:
        if segment.key not in value.struct_value.fields:
            return False
        value = value.struct_value.fields[segment.key]
    return _VALUES[_value_kind(matcher.value)](value, matcher.value)


def _value_kind(matcher: ValueMatcher) -> str:
    kind = matcher.WhichOneof("match_pattern")
    if kind not in _VALUES:
        known = ", ".join(_VALUES)
        raise UnsupportedMatcherError(
            f"metadata is not matched by {kind or 'nothing'} here; use one of {known}"
        )
    if kind == "string_match":
        _text_kind(matcher.string_match)
    return str(kind)


def _number_matches(number: float, matcher: DoubleMatcher) -> bool:
    if matcher.HasField("range"):
        return matcher.range.start <= number < matcher.range.end
    return number == matcher.exact


_VALUES: Final[dict[str, Callable[[Value, ValueMatcher], bool]]] = {
    "null_match": lambda value, _: value.HasField("null_value"),
    "double_match": lambda value, matcher: (
        value.HasField("number_value") and _number_matches(value.number_value, matcher.double_match)
    ),
    "string_match": lambda value, matcher: (
        value.HasField("string_value") and _text_matches(value.string_value, matcher.string_match)
    ),
    "bool_match": lambda value, matcher: (
        value.HasField("bool_value") and value.bool_value == matcher.bool_match
    ),
    # The path led to it, so it is there.
    "present_match": lambda _, matcher: matcher.present_match,
}
