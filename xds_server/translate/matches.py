"""What a request must be like, in Envoy's words (`config.route.v3.RouteMatch`)."""

from typing import Final

from envoy.config.route.v3.route_components_pb2 import HeaderMatcher, QueryParameterMatcher, RouteMatch
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.wrappers_pb2 import BoolValue

from xds_server.model.route import PathKind, PathMatch, TextKind, TextMatch
from xds_server.model.route import RouteMatch as Match

_PARTIAL: Final = frozenset({TextKind.PREFIX, TextKind.SUFFIX, TextKind.CONTAINS})


def route_match(match: Match) -> RouteMatch:
    """Give Envoy's match: the path, and every header, parameter and method that is asked for."""
    made = _path(match.path)
    if match.path.ignore_case and match.path.kind is not PathKind.REGEX:
        made.case_sensitive.CopyFrom(BoolValue(value=False))
    made.headers.extend(_header(one) for one in match.headers)
    if match.methods:
        made.headers.append(HeaderMatcher(name=":method", string_match=_one_of(match.methods)))
    made.query_parameters.extend(_parameter(one) for one in match.query)
    return made


def _path(path: PathMatch) -> RouteMatch:
    match path.kind:
        case PathKind.EXACT:
            return RouteMatch(path=path.value)
        case PathKind.REGEX:
            # Envoy does not look at `case_sensitive` here.
            flag = "(?i)" if path.ignore_case else ""
            return RouteMatch(safe_regex=RegexMatcher(regex=flag + path.value))
        case PathKind.SEGMENTS if not path.value.endswith("/"):
            return RouteMatch(path_separated_prefix=path.value)
        case _:
            return RouteMatch(prefix=path.value)


def _header(one: TextMatch) -> HeaderMatcher:
    if _asks_for_presence(one):
        return HeaderMatcher(name=one.name, present_match=True, invert_match=one.invert)
    return HeaderMatcher(name=one.name, string_match=_text(one), invert_match=one.invert)


def _parameter(one: TextMatch) -> QueryParameterMatcher:
    if _asks_for_presence(one):
        return QueryParameterMatcher(name=one.name, present_match=True)
    return QueryParameterMatcher(name=one.name, string_match=_text(one))


def _asks_for_presence(one: TextMatch) -> bool:
    """Tell whether any value will do: every one begins with an empty text, which Envoy refuses to compare."""
    return one.kind is TextKind.PRESENT or (not one.value and one.kind in _PARTIAL)


def _text(one: TextMatch) -> StringMatcher:
    match one.kind:
        case TextKind.REGEX:
            return StringMatcher(safe_regex=RegexMatcher(regex=one.value))
        case TextKind.PREFIX:
            return StringMatcher(prefix=one.value)
        case TextKind.SUFFIX:
            return StringMatcher(suffix=one.value)
        case TextKind.CONTAINS:
            return StringMatcher(contains=one.value)
        case _:
            return StringMatcher(exact=one.value)


def _one_of(words: tuple[str, ...]) -> StringMatcher:
    if len(words) == 1:
        return StringMatcher(exact=words[0])
    return StringMatcher(safe_regex=RegexMatcher(regex="|".join(words)))
