"""What a request must be like, in Envoy's words (`config.route.v3.RouteMatch`)."""

from envoy.config.route.v3.route_components_pb2 import HeaderMatcher, QueryParameterMatcher, RouteMatch
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.wrappers_pb2 import BoolValue

from xds_server.model.route import PathKind, PathMatch, TextKind, TextMatch
from xds_server.model.route import RouteMatch as Match


def route_match(match: Match) -> RouteMatch:
    """Give Envoy's match: the path, and every header, parameter and method that is asked for."""
    made = _path(match.path)
    if match.path.ignore_case:
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
            return RouteMatch(safe_regex=RegexMatcher(regex=path.value))
        case PathKind.SEGMENTS if not path.value.endswith("/"):
            return RouteMatch(path_separated_prefix=path.value)
        case _:
            return RouteMatch(prefix=path.value)


def _header(one: TextMatch) -> HeaderMatcher:
    if one.kind is TextKind.PRESENT:
        return HeaderMatcher(name=one.name, present_match=True, invert_match=one.invert)
    return HeaderMatcher(name=one.name, string_match=_text(one), invert_match=one.invert)


def _parameter(one: TextMatch) -> QueryParameterMatcher:
    if one.kind is TextKind.PRESENT:
        return QueryParameterMatcher(name=one.name, present_match=True)
    return QueryParameterMatcher(name=one.name, string_match=_text(one))


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
