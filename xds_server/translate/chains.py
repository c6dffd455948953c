"""A discovery chain as clusters, rules and ways.

https://developer.hashicorp.com/consul/docs/connect/manage-traffic/discovery-chain . Every resolver becomes a
cluster (`translate.resolvers`), every splitter a set of branches, and the routes of the router become rules.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from xds_server.model.chain import Chain, Node, Resolver, Router, Split, Splitter
from xds_server.model.problem import Problem
from xds_server.model.route import NO_CHANGES, Branch, HeaderChanges, Pairs, Rule
from xds_server.translate import meaning
from xds_server.translate.meaning import WHOLE, ClusterSpec, Meaning, Part
from xds_server.translate.places import Places
from xds_server.translate.resolvers import Reached, Resolvers, cluster_name, problem, source

__all__ = ["Reached", "meaning_of"]

_MAX_BRANCHES: Final = 1000


def meaning_of(
    chain: Chain, reached: Mapping[str, Reached], places: Places
) -> tuple[Meaning, tuple[Problem, ...]]:
    """Give what a service with a chain means, and what of the chain could not be honoured.

    `reached` has the service itself and every service of the chain's targets. What a service says of itself
    (`Reached.parts`) stays where the chain says nothing of it.
    """
    resolvers = Resolvers(chain, reached, places)
    specs: dict[str, ClusterSpec] = {}
    for node in chain.nodes.values():
        if isinstance(node, Resolver):
            spec = resolvers.cluster(node)
            specs.setdefault(spec.name, spec)
    flow = _Flow(chain)
    ways = flow.ways(places)
    own = reached[chain.service]
    said = meaning.plain(chain.service, own.policy, own.parts)
    for part, way in said.ways.items():
        if part not in ways:
            ways[part] = way
            specs.update((spec.name, spec) for spec in said.clusters if spec.name == way[0].cluster)
    return Meaning(
        policy=own.policy,
        clusters=tuple(specs.values()),
        rules=tuple(flow.rules()),
        ways=MappingProxyType(ways),
    ), tuple(sorted(resolvers.problems | flow.problems))


class _Flow:
    """Where requests go through the nodes of a chain."""

    def __init__(self, chain: Chain) -> None:
        self.problems: set[Problem] = set()
        self._chain = chain
        self._branches: dict[str, tuple[Branch, ...]] = {}

    def rules(self) -> Iterator[Rule]:
        """Give the routes of the router in order, or a rule for everything where there is none."""
        start = self._chain.nodes[self._chain.start]
        if not isinstance(start, Router):
            yield Rule(branches=self._from(self._chain.start), source=source(self._chain))
            return
        for route in start.routes:
            yield Rule(
                match=route.match,
                branches=self._from(route.next),
                treatment=route.treatment,
                source=source(self._chain),
            )

    def ways(self, places: Places) -> dict[Part, tuple[Branch, ...]]:
        """Give the way past the router, and to each subset of the service itself that has a resolver here."""
        ways = {WHOLE: self._from(self._chain.start)}
        for key, node in self._chain.nodes.items():
            if isinstance(node, Resolver):
                target = self._chain.targets[node.target]
                is_own = target.service == self._chain.service and places.is_here(target.datacenter)
                if target.subset and is_own:
                    ways[target.subset, ""] = self._from(key)
        return ways

    def _from(self, key: str) -> tuple[Branch, ...]:
        """Give where requests that have come to a node go, splitters of splitters multiplied out."""
        if key not in self._branches:
            self._branches[key] = self._beyond(self._chain.nodes[key])
        return self._branches[key]

    def _beyond(self, node: Node) -> tuple[Branch, ...]:
        match node:
            case Resolver():
                return (Branch(cluster=cluster_name(self._chain.targets[node.target])),)
            case Splitter():
                ways = [
                    (split.weight, tuple(_changed(branch, split) for branch in self._from(split.next)))
                    for split in node.splits
                ]
                return self._few(meaning.combined(ways))
            case Router():
                return self._from(node.routes[-1].next)

    def _few(self, branches: tuple[Branch, ...]) -> tuple[Branch, ...]:
        """Keep splitters of splitters that all change headers from growing without bounds."""
        if len(branches) <= _MAX_BRANCHES:
            return branches
        sentence = f"it changes headers in more than {_MAX_BRANCHES} ways, so no split does: use fewer splits"
        self.problems.add(problem(self._chain, sentence))
        plain = [replace(branch, request=NO_CHANGES, response=NO_CHANGES) for branch in branches]
        return meaning.combined([(1, plain)])


def _changed(branch: Branch, split: Split) -> Branch:
    return replace(
        branch,
        request=_merged(split.request, branch.request),
        response=_merged(split.response, branch.response),
    )


def _merged(outer: HeaderChanges, inner: HeaderChanges) -> HeaderChanges:
    """Give both changes; of two of the same kind for one header the inner one counts, as in Consul."""
    if NO_CHANGES in (outer, inner):
        return inner if outer == NO_CHANGES else outer
    return HeaderChanges(
        add=_over(outer.add, inner.add),
        set=_over(outer.set, inner.set),
        remove=tuple(dict.fromkeys((*outer.remove, *inner.remove))),
    )


def _over(outer: Pairs, inner: Pairs) -> Pairs:
    stated = {name.lower() for name, _ in inner}
    return (*(pair for pair in outer if pair[0].lower() not in stated), *inner)
