"""A resolver of a discovery chain as a cluster: its target, and those that take over.

https://developer.hashicorp.com/consul/docs/connect/config-entries/service-resolver .
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from xds_server.model.chain import Chain, Resolver, Target
from xds_server.model.policy import Protocol, ServicePolicy
from xds_server.model.problem import Code, Problem
from xds_server.translate import names
from xds_server.translate.meaning import ClusterSpec, Parts, Pick
from xds_server.translate.places import Places

_NOTHING_STATED: Final[frozenset[str]] = frozenset()
_SAYS_NOTHING: Final = Parts()

# What is on the wire: two services of one kind can stand in for each other.
_WIRE: Final = {
    Protocol.HTTP1: "http1",
    Protocol.HTTP2: "http2",
    Protocol.GRPC: "http2",
    Protocol.TCP: "tcp",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A service that a chain leads to, as it is without the chain.

    `stated` are the fields of `policy` that the operator wrote for that very service: no resolver goes over
    them. A service that is not `served` is in the catalog, but hidden, or left out for a problem of its own.
    """

    policy: ServicePolicy
    stated: frozenset[str] = _NOTHING_STATED
    parts: Parts = _SAYS_NOTHING
    served: bool = True


class Resolvers:
    """The resolvers of one chain; `problems` is what could not be honoured so far."""

    def __init__(self, chain: Chain, reached: Mapping[str, Reached], places: Places) -> None:
        self.problems: set[Problem] = set()
        self._chain = chain
        self._reached = reached
        self._places = places

    def cluster(self, resolver: Resolver) -> ClusterSpec:
        """Give the cluster of a resolver: its target, then those that take over."""
        target = self._chain.targets[resolver.target]
        service = self._reached[target.service]
        if not self._is_served(target, "its requests are answered 503"):
            # Not with its own policy, which may need what is not there.
            plain = ServicePolicy(protocol=service.policy.protocol)
            return ClusterSpec(name=cluster_name(target), policy=plain, picks=())
        backups = [self._chain.targets[key] for key in resolver.failover]
        used = [target] if self._is_read(target, "none of its instances is used") else []
        used += [backup for backup in backups if self._can_take_over(target, backup)]
        return ClusterSpec(
            name=cluster_name(target),
            policy=_policy(service, target, resolver),
            # Where the chain tells the order of the datacenters, the operator's does not count.
            picks=tuple(self._pick(one, exact=len(used) > 1) for one in used),
        )

    def _pick(self, target: Target, *, exact: bool) -> Pick:
        canary = self._reached[target.service].parts.canary
        everything = not target.subset and not target.filter
        return Pick(
            service=target.service,
            filter=f"not ({canary})" if canary and everything else target.filter,
            only_passing=target.only_passing,
            datacenter=(target.datacenter or self._places.own) if exact or not self._is_here(target) else "",
        )

    def _can_take_over(self, target: Target, backup: Target) -> bool:
        ours, theirs = (self._reached[one.service].policy for one in (target, backup))
        if (_WIRE[ours.protocol], ours.tls) != (_WIRE[theirs.protocol], theirs.tls):
            sentence = (
                f'service "{backup.service}" cannot take over from "{target.service}", as its protocol or '
                "its TLS is another: make them the same, or take it out of the failover"
            )
            self._problem(sentence)
            return False
        effect = "it does not take over"
        return self._is_served(backup, effect) and self._is_read(backup, effect)

    def _is_served(self, target: Target, effect: str) -> bool:
        if self._reached[target.service].served:
            return True
        self._problem(
            f'it leads to service "{target.service}", which is not served, so {effect}: see the problems of '
            "that service, or change the config entries"
        )
        return False

    def _is_read(self, target: Target, effect: str) -> bool:
        if self._is_here(target) or target.datacenter in self._places.others:
            return True
        sentence = (
            f'it leads to service "{target.service}" in datacenter "{target.datacenter}", which is not read, '
            f"so {effect}: add the datacenter to the settings, or change the service-resolver"
        )
        self._problem(sentence)
        return False

    def _is_here(self, target: Target) -> bool:
        return self._places.is_here(target.datacenter)

    def _problem(self, sentence: str) -> None:
        self.problems.add(problem(self._chain, sentence))


def problem(chain: Chain, sentence: str) -> Problem:
    """Say what of a chain is not honoured."""
    return Problem(code=Code.DISCOVERY_CHAIN, source=source(chain), sentence=sentence)


def source(chain: Chain) -> str:
    """Name a chain in problems and routes."""
    return f'consul discovery chain "{chain.service}"'


def cluster_name(target: Target) -> str:
    """Name the cluster of a target as Consul does: that is its SNI as well.

    Consul's name does not tell subset `a` of service `b.c` from subset `a.b` of service `c`, so a service
    with a dot in its name gets one of ours, or a service could take the requests of another.
    """
    before = f"{target.subset}.{target.service}." if target.subset else f"{target.service}."
    if "." in target.service or "." in target.subset or not target.name.startswith(before):
        return names.target_cluster(target.service, target.subset, target.datacenter)
    return target.name


def _policy(reached: Reached, target: Target, resolver: Resolver) -> ServicePolicy:
    """Lay what a resolver says over the policy of its service, where the operator has said nothing."""
    balancer = resolver.load_balancer
    said: dict[str, Any] = {
        "connect_timeout": target.connect_timeout or resolver.connect_timeout,
        "request_timeout": resolver.request_timeout,
    }
    # A load balancer is one thing: its hash does not suit the one that the operator chose.
    if "lb_policy" not in reached.stated:
        said |= {
            "lb_policy": balancer.policy,
            "hash_on": balancer.hash_on or None,
            "ring_size": balancer.ring_size if any(balancer.ring_size) else None,
            "choices": balancer.choices,
        }
    changes = {
        field: value for field, value in said.items() if value is not None and field not in reached.stated
    }
    return replace(reached.policy, **changes) if changes else reached.policy
