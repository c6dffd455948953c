"""A rule as an Envoy route: where requests go, and what is done with them on the way."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from envoy.config.core.v3.base_pb2 import DataSource, HeaderValue, HeaderValueOption
from envoy.config.route.v3.route_components_pb2 import (
    DirectResponseAction,
    RetryPolicy,
    Route,
    RouteAction,
    WeightedCluster,
)
from envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import PreviousHostsPredicate
from google.protobuf.wrappers_pb2 import UInt32Value

from xds_server.model.policy import HashKind, HashOn, LbPolicy, Protocol, ServicePolicy
from xds_server.model.route import (
    NO_CHANGES,
    SAFE_RETRIES,
    Branch,
    HeaderChanges,
    PathKind,
    Retries,
    RouteMatch,
    Rule,
)
from xds_server.translate.matches import route_match
from xds_server.translate.packing import duration, pack

UNAVAILABLE: Final = 503

_HOST_PREDICATE: Final = RetryPolicy.RetryHostPredicate(
    name="envoy.retry_host_predicates.previous_hosts", typed_config=pack(PreviousHostsPredicate())
)
# Only failures in which no instance saw the request, so a retry is safe for every method.
_SAFE: Final = Retries(count=2, on=SAFE_RETRIES)
_STATUSES: Final = "retriable-status-codes"

_HASHED: Final = frozenset({LbPolicy.RING_HASH, LbPolicy.MAGLEV})
_BY_SOURCE: Final = (HashOn(kind=HashKind.SOURCE_IP),)

# What is left of a path match when what is below it by a slash is taken away.
_ITSELF: Final = {PathKind.SEGMENTS: PathKind.EXACT, PathKind.PREFIX: PathKind.PREFIX}

Policies: TypeAlias = Sequence[ServicePolicy]
"""The policy of the cluster of each branch."""


def envoy_routes(rule: Rule, policies: Policies) -> tuple[Route, ...]:
    """Give the routes of a rule; mostly one."""
    return tuple(_route(replace(rule, match=match), policies) for match in _matches(rule))


def _matches(rule: Rule) -> tuple[RouteMatch, ...]:
    """Give the matches a rewrite needs.

    Envoy puts the new prefix in the place of what matched, so that `/` for `/api` would make `//x` of
    `/api/x`; hence `/api/` is taken for itself. (A regular expression would do it in one, until it is too
    large for Envoy, which costs all routes of the listener.)
    """
    match, new = rule.match, rule.treatment.prefix_rewrite or ""
    kind, value = match.path.kind, match.path.value
    if not new.endswith("/") or value.endswith("/") or kind not in _ITSELF:
        return (match,)
    below = replace(match.path, kind=PathKind.PREFIX, value=f"{value}/")
    itself = replace(match.path, kind=_ITSELF[kind])
    return replace(match, path=below), replace(match, path=itself)


def _route(rule: Rule, policies: Policies) -> Route:
    route = Route(match=route_match(rule.match))
    if not rule.branches:
        route.direct_response.CopyFrom(unavailable(rule.reason))
        return route
    route.route.CopyFrom(_action(rule, policies))
    _change(route, rule.treatment.request, rule.treatment.response)
    return route


def unavailable(reason: str) -> DirectResponseAction:
    """Answer 503 with a reason in the body."""
    return DirectResponseAction(status=UNAVAILABLE, body=DataSource(inline_string=reason))


def hash_sources(policy: ServicePolicy) -> tuple[HashOn, ...]:
    """Give what a hashing load balancer hashes: the source address unless the policy names something else."""
    if policy.lb_policy not in _HASHED:
        return ()
    return policy.hash_on or _BY_SOURCE


def handled_alike(one: ServicePolicy, other: ServicePolicy) -> bool:
    """Tell whether routes to two services differ in nothing but where they lead."""
    return _request_timeout([one]) == _request_timeout([other]) and hash_sources(one) == hash_sources(other)


def weighted_clusters(branches: Iterable[Branch]) -> WeightedCluster:
    """Give the branches of a split in the order they were written."""
    made = WeightedCluster()
    for branch in branches:
        one = made.clusters.add(name=branch.cluster, weight=UInt32Value(value=branch.weight))
        _change(one, branch.request, branch.response)
    return made


def _action(rule: Rule, policies: Policies) -> RouteAction:
    treatment = rule.treatment
    action = RouteAction(retry_policy=_retry_policy(treatment.retries or _SAFE))
    only = rule.branches[0]
    if len(rule.branches) == 1 and only.request == only.response == NO_CHANGES:
        action.cluster = only.cluster
    else:
        action.weighted_clusters.CopyFrom(weighted_clusters(rule.branches))
    timeout = treatment.timeout if treatment.timeout is not None else _request_timeout(policies)
    if timeout is not None:
        action.timeout.CopyFrom(duration(timeout))
    if treatment.idle_timeout is not None:
        action.idle_timeout.CopyFrom(duration(treatment.idle_timeout))
    if treatment.prefix_rewrite is not None:
        action.prefix_rewrite = treatment.prefix_rewrite
    for source in dict.fromkeys(source for policy in policies for source in hash_sources(policy)):
        action.hash_policy.append(_hash_policy(source))
    return action


def _request_timeout(policies: Policies) -> float | None:
    """Give the longest that a service behind the route asks for; None leaves Envoy's 15 s.

    A gRPC call carries its own deadline, and 15 s would cut its streams.
    """
    asked = [
        policy.request_timeout
        if policy.request_timeout is not None
        else (0.0 if policy.protocol is Protocol.GRPC else None)
        for policy in policies
    ]
    stated = [timeout for timeout in asked if timeout is not None]
    return None if not stated else 0.0 if 0.0 in stated else max(stated)


def _retry_policy(retries: Retries) -> RetryPolicy:
    made = RetryPolicy(
        retry_on=",".join((*retries.on, *((_STATUSES,) if retries.statuses else ()))),
        num_retries=UInt32Value(value=retries.count),
        retry_host_predicate=[_HOST_PREDICATE],
        host_selection_retry_max_attempts=3,
        retriable_status_codes=retries.statuses,
    )
    if retries.per_try is not None:
        made.per_try_timeout.CopyFrom(duration(retries.per_try))
    return made


def _change(
    made: Route | WeightedCluster.ClusterWeight, request: HeaderChanges, response: HeaderChanges
) -> None:
    made.request_headers_to_add.extend(_added(request))
    made.request_headers_to_remove.extend(request.remove)
    made.response_headers_to_add.extend(_added(response))
    made.response_headers_to_remove.extend(response.remove)


def _added(changes: HeaderChanges) -> Iterable[HeaderValueOption]:
    for pairs, action in (
        (changes.add, HeaderValueOption.APPEND_IF_EXISTS_OR_ADD),
        (changes.set, HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD),
    ):
        for name, value in pairs:
            # A lone % would begin a command of Envoy's formatter, which can read the environment.
            literal = HeaderValue(key=name, value=value.replace("%", "%%"))
            yield HeaderValueOption(header=literal, append_action=action)


def _hash_policy(source: HashOn) -> RouteAction.HashPolicy:
    made = RouteAction.HashPolicy(terminal=source.terminal)
    match source.kind:
        case HashKind.HEADER:
            made.header.header_name = source.name
        case HashKind.QUERY:
            made.query_parameter.name = source.name
        case HashKind.SOURCE_IP:
            made.connection_properties.source_ip = True
        case HashKind.COOKIE:
            made.cookie.name = source.name
            made.cookie.path = source.path
            if source.ttl is not None:
                made.cookie.ttl.CopyFrom(duration(source.ttl))
    return made
