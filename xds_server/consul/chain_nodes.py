"""The nodes and targets of a compiled chain, one by one; pure.

https://developer.hashicorp.com/consul/docs/connect/config-entries/service-resolver and .../service-splitter .
"""

import re
from typing import Final

from xds_server.consul.chain_routes import match_of, treatment_of
from xds_server.consul.chain_shapes import (
    HashPolicy,
    LoadBalancerShape,
    NodeShape,
    ResolverShape,
    RouteShape,
    SplitShape,
    TargetShape,
)
from xds_server.consul.pieces import Flaw, GoDuration, header_changes, literal, seconds, token
from xds_server.consul.text import shown
from xds_server.model.catalog import is_service_name
from xds_server.model.chain import ChainRoute, LoadBalancer, Node, Resolver, Router, Split, Splitter, Target
from xds_server.model.policy import HashKind, HashOn, LbPolicy
from xds_server.model.route import PathKind, PathMatch, RouteMatch

_MAX_ROUTES: Final = 500
_MAX_SPLITS: Final = 100
_MAX_FAILOVER: Final = 32
_MAX_FILTER: Final = 4096
_MAX_HASHES: Final = 16
_MAX_RING: Final = 8 * 2**20  # Envoy, RingHashLbConfig
_MAX_CHOICES: Final = 1000
_WHOLE: Final = 10_000
# What Consul writes where nobody has said anything; it is our own default as well, and may be changed there.
_CONNECT_DEFAULT: Final = 5.0

_CLUSTER_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._~-]{0,398}[A-Za-z0-9])?", re.ASCII)
_CATCH_ALL: Final = RouteMatch(path=PathMatch(kind=PathKind.PREFIX, value="/"))
_POLICIES: Final = {policy.value: policy for policy in LbPolicy}
_HASH_FIELDS: Final = {
    "header": HashKind.HEADER,
    "cookie": HashKind.COOKIE,
    "query_parameter": HashKind.QUERY,
}


def node_of(shape: NodeShape, notes: list[str]) -> Node:
    """Give one node; raise Flaw if it cannot be used."""
    match shape.Type:
        case "router":
            return Router(routes=_routes(shape.Routes or [], notes))
        case "splitter":
            return Splitter(splits=_splits(shape.Splits or [], notes))
        case "resolver" if shape.Resolver is not None:
            return _resolver(shape.Resolver, shape.LoadBalancer, notes)
    raise Flaw(f"it has a node of type {shown(shape.Type)} that is not known or empty")


def target_of(key: str, shape: TargetShape) -> Target:
    """Give one target; raise Flaw if it cannot be one."""
    subset = shape.Subset
    if not is_service_name(shape.Service) or not is_service_name(shape.ServiceSubset or "none"):
        raise Flaw(f"target {shown(key)} is of a service or subset whose name cannot be used")
    name = shape.Name or shape.SNI
    if not (_CLUSTER_NAME.fullmatch(name) and _CLUSTER_NAME.fullmatch(shape.SNI or name)):
        raise Flaw(f"target {shown(key)} has a name or SNI that cannot be used")
    if subset and len(subset.Filter) > _MAX_FILTER:
        raise Flaw(f"the filter of target {shown(key)} is longer than {_MAX_FILTER}")
    return Target(
        id=key,
        name=name,
        sni=shape.SNI or name,
        service=shape.Service,
        subset=shape.ServiceSubset,
        datacenter=shape.Datacenter,
        filter=literal(subset.Filter, "the filter") if subset else "",
        only_passing=subset.OnlyPassing if subset else False,
        connect_timeout=_connect(shape.ConnectTimeout),
    )


def nexts(node: Node) -> tuple[str, ...]:
    """Give the keys of the nodes that a node leads to."""
    match node:
        case Router():
            return tuple(route.next for route in node.routes)
        case Splitter():
            return tuple(split.next for split in node.splits)
    return ()


def _routes(shapes: list[RouteShape], notes: list[str]) -> tuple[ChainRoute, ...]:
    if len(shapes) > _MAX_ROUTES:
        raise Flaw(f"it has more than {_MAX_ROUTES} routes")
    routes = tuple(_route(shape, notes) for shape in shapes)
    if not routes or routes[-1].match != _CATCH_ALL:
        raise Flaw("its last route does not take everything")
    return routes


def _route(shape: RouteShape, notes: list[str]) -> ChainRoute:
    definition = shape.Definition
    return ChainRoute(
        match=match_of(definition.Match.HTTP if definition and definition.Match else None),
        treatment=treatment_of(definition.Destination if definition else None, notes),
        next=shape.NextNode,
    )


def _splits(shapes: list[SplitShape], notes: list[str]) -> tuple[Split, ...]:
    if len(shapes) > _MAX_SPLITS:
        raise Flaw(f"it splits more than {_MAX_SPLITS} ways")
    splits = [
        Split(
            weight=_share(shape.Weight),
            next=shape.NextNode,
            request=header_changes(shape.Definition.RequestHeaders if shape.Definition else None, notes),
            response=header_changes(shape.Definition.ResponseHeaders if shape.Definition else None, notes),
        )
        for shape in shapes
    ]
    return _adding_up(splits)


def _share(percent: float) -> int:
    if not 0 <= percent <= 100:  # noqa: PLR2004 - a percentage
        raise Flaw("it has a weight that is no percentage")
    return round(percent * 100)


def _adding_up(splits: list[Split]) -> tuple[Split, ...]:
    """Give the splits with shares that add up: where splitters lead to splitters, Consul rounds."""
    off = _WHOLE - sum(split.weight for split in splits)
    if not splits or abs(off) > len(splits):
        raise Flaw("its weights do not add up to 100")
    at = max(range(len(splits)), key=lambda index: splits[index].weight)
    most = splits[at]
    splits[at] = Split(weight=most.weight + off, next=most.next, request=most.request, response=most.response)
    return tuple(splits)


def _resolver(shape: ResolverShape, balancer: LoadBalancerShape | None, notes: list[str]) -> Resolver:
    failover = (shape.Failover.Targets if shape.Failover else None) or []
    if len(failover) > _MAX_FAILOVER:
        notes.append(f"of its failover targets only {_MAX_FAILOVER} are used")
    if shape.Failover and shape.Failover.Policy:
        notes.append("the order of its failover by locality is not honoured: they are used as listed")
    request = seconds(shape.RequestTimeout, "RequestTimeout")
    return Resolver(
        target=shape.Target,
        failover=tuple(dict.fromkeys(failover[:_MAX_FAILOVER])),
        connect_timeout=_connect(shape.ConnectTimeout),
        request_timeout=max(request, 0.0) if request else None,
        load_balancer=_load_balancer(balancer, notes),
    )


def _connect(value: GoDuration) -> float | None:
    found = seconds(value, "ConnectTimeout")
    return found if found > 0 and found != _CONNECT_DEFAULT else None


def _load_balancer(shape: LoadBalancerShape | None, notes: list[str]) -> LoadBalancer:
    if shape is None:
        return LoadBalancer()
    if shape.Policy and shape.Policy not in _POLICIES:
        notes.append(f"the load balancer {shown(shape.Policy)} is not known: the service's own is used")
        return LoadBalancer()
    ring, least = shape.RingHashConfig, shape.LeastRequestConfig
    low = _bounded(ring.MinimumRingSize if ring else 0, 1, _MAX_RING, "MinimumRingSize", notes)
    high = _bounded(ring.MaximumRingSize if ring else 0, 1, _MAX_RING, "MaximumRingSize", notes)
    if low and high and low > high:
        notes.append("its MinimumRingSize is above its MaximumRingSize: neither is used")
        low = high = None
    return LoadBalancer(
        policy=_POLICIES.get(shape.Policy),
        hash_on=_hashes(shape.HashPolicies or [], notes),
        ring_size=(low, high),
        choices=_bounded(least.ChoiceCount if least else 0, 2, _MAX_CHOICES, "ChoiceCount", notes),
    )


def _bounded(value: int, low: int, high: int, what: str, notes: list[str]) -> int | None:
    if value == 0:
        return None
    if not low <= value <= high:
        notes.append(f"{what} {value} is not between {low} and {high}: Envoy's default is used")
        return None
    return value


def _hashes(shapes: list[HashPolicy], notes: list[str]) -> tuple[HashOn, ...]:
    found = []
    for shape in shapes[:_MAX_HASHES]:
        try:
            found.append(_hash(shape))
        except Flaw as flaw:
            notes.append(f"{flaw}: the hash is taken from the others")
    if len(shapes) > _MAX_HASHES:
        notes.append(f"of its hash policies only {_MAX_HASHES} are used")
    return tuple(found)


def _hash(shape: HashPolicy) -> HashOn:
    if shape.SourceIP:
        return HashOn(kind=HashKind.SOURCE_IP, terminal=shape.Terminal)
    if (kind := _HASH_FIELDS.get(shape.Field)) is None:
        raise Flaw(f"the hash policy {shown(shape.Field)} is not known")
    if kind is HashKind.QUERY:
        name = literal(shape.FieldValue, "the query parameter")
    else:
        name = token(shape.FieldValue, f"the {kind.value}")
    if not name:
        raise Flaw(f"a hash policy does not say which {kind.value}")
    ttl, path = None, ""
    if (cookie := shape.CookieConfig) is not None and kind is HashKind.COOKIE:
        ttl = 0.0 if cookie.Session else seconds(cookie.TTL, "TTL") or None
        path = literal(cookie.Path, "the cookie's path")
    return HashOn(kind=kind, name=name, ttl=ttl, path=path, terminal=shape.Terminal)
