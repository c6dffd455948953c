"""A compiled discovery chain: Consul's answer becomes a Chain whose parts are all there; pure.

https://developer.hashicorp.com/consul/api-docs/discovery-chain . A chain is used as a whole or not at all:
half of one would send requests to the wrong place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from xds_server.consul.chain_nodes import nexts, node_of, target_of
from xds_server.consul.chain_shapes import ChainAnswerShape, ChainShape, TargetShape
from xds_server.consul.errors import Unreadable
from xds_server.consul.pieces import PROTOCOLS, Flaw
from xds_server.consul.rows import Failure, attempt
from xds_server.consul.text import shown
from xds_server.model.chain import Chain, Node, Resolver, Router, Target
from xds_server.model.problem import Code, Problem

_MAX_PARTS: Final = 1000
_MAX_WAY: Final = 16  # Consul makes one splitter of splitters that lead to each other
_MAX_NOTES: Final = 20

_answer: Final = msgspec.json.Decoder(ChainAnswerShape).decode
_chain: Final = msgspec.json.Decoder(ChainShape).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainAnswer:
    """What an answer says of one service's chain.

    Without a `chain` the service has none of its own, unless it was `refused`: then the last good one is
    better. `problems` say what was refused, or left out of it.
    """

    chain: Chain | None = None
    refused: bool = False
    problems: tuple[Problem, ...] = ()


def decode_chain(service: str, body: bytes) -> ChainAnswer:
    """Read an answer of `/v1/discovery-chain/<service>`; raise Unreadable if it is no such answer."""
    answer = attempt(_answer, body)
    if isinstance(answer, Failure):
        raise Unreadable(
            f"Consul's discovery chain of service {shown(service)} cannot be read ({answer.why}): "
            "see what answers there."
        )
    notes: list[str] = []
    try:
        chain = _read(service, answer.Chain, notes)
    except Flaw as flaw:
        effect = "its last good one is kept, if there is one: mend the config entries it is made of."
        return ChainAnswer(
            refused=True, problems=(_problem(service, f"the chain cannot be used, as {flaw}; {effect}"),)
        )
    return ChainAnswer(chain=chain, problems=_noted(service, notes))


def _read(service: str, raw: msgspec.Raw, notes: list[str]) -> Chain | None:
    shape = attempt(_chain, raw)
    if isinstance(shape, Failure):
        raise Flaw(f"it holds what is not understood ({shape.why})")
    if shape.ServiceName != service:
        raise Flaw(f"it is of service {shown(shape.ServiceName)}, which was not asked for")
    given, targets = shape.Nodes or {}, shape.Targets or {}
    if max(len(given), len(targets)) > _MAX_PARTS:
        raise Flaw(f"it has more than {_MAX_PARTS} nodes or targets")
    if _is_default(service, shape):
        return None
    nodes = _nodes(shape, notes)
    return Chain.of(
        service, _protocol(shape.Protocol), shape.StartNode, *_resolved(shape, nodes, targets, notes)
    )


def _is_default(service: str, shape: ChainShape) -> bool:
    """Tell whether the chain says no more than that the service is the service.

    Consul calls what a redirect leads to a default as well, hence the look at the target.
    """
    start = (shape.Nodes or {}).get(shape.StartNode)
    if start is None or start.Resolver is None or not start.Resolver.Default or start.LoadBalancer:
        return False
    target = (shape.Targets or {}).get(start.Resolver.Target)
    return target is not None and target.Service == service and not target.ServiceSubset


def _protocol(said: str) -> str:
    """Give one of the protocols that are known; Consul, too, takes any other for bytes."""
    return said.lower() if said.lower() in PROTOCOLS else "tcp"


def _nodes(shape: ChainShape, notes: list[str]) -> dict[str, Node]:
    """Give the nodes that can be reached.

    Raises Flaw at one that is not there, at a circle, at a way that is too long, and at a router that is not
    the start.
    """
    nodes: dict[str, Node] = {}
    on_the_way: set[str] = set()
    ahead: dict[str, int] = {}  # how many nodes are on the longest way from here
    steps = [(shape.StartNode, False)]
    while steps:
        key, done = steps.pop()
        if done:
            on_the_way.discard(key)
            ahead[key] = 1 + max((ahead[following] for following in nexts(nodes[key])), default=0)
            if ahead[key] > _MAX_WAY:
                raise Flaw(f"a way through it has more than {_MAX_WAY} nodes")
            continue
        if key in on_the_way:
            raise Flaw(f"node {shown(key)} leads back to itself")
        if key in nodes:
            continue
        if (one := (shape.Nodes or {}).get(key)) is None:
            raise Flaw(f"it leads to node {shown(key)}, which is not there")
        nodes[key] = node = node_of(one, notes)
        if isinstance(node, Router) and key != shape.StartNode:
            raise Flaw(f"router {shown(key)} is not where it starts")
        on_the_way.add(key)
        steps.append((key, True))
        steps += [(following, False) for following in nexts(node)]
    return nodes


def _resolved(
    shape: ChainShape, nodes: Mapping[str, Node], given: Mapping[str, TargetShape], notes: list[str]
) -> tuple[dict[str, Node], dict[str, Target]]:
    """Give the nodes without the failover targets that cannot be used, and the targets."""
    found = dict(nodes)
    targets: dict[str, Target] = {}
    for key, node in nodes.items():
        if not isinstance(node, Resolver):
            continue
        targets[node.target] = _target(shape, node.target, given, notes)
        kept = []
        for name in node.failover:
            try:
                targets[name] = _target(shape, name, given, notes)
                kept.append(name)
            except Flaw as flaw:
                notes.append(f"{flaw}, so there is no failover to it")
        found[key] = replace(node, failover=tuple(kept))
    return found, targets


def _target(shape: ChainShape, key: str, given: Mapping[str, TargetShape], notes: list[str]) -> Target:
    if (one := given.get(key)) is None:
        raise Flaw(f"target {shown(key)} is not there")
    if one.Peer:
        raise Flaw(f"target {shown(key)} is in the peered cluster {shown(one.Peer)}, which is not read")
    if _place(one.Namespace, one.Partition) != _place(shape.Namespace, shape.Partition):
        raise Flaw(f"target {shown(key)} is in another namespace or partition, which is not read")
    if one.PrioritizeByLocality:
        notes.append("PrioritizeByLocality is not honoured: the locality of instances is, in any case")
    return target_of(key, one)


def _place(namespace: str, partition: str) -> tuple[str, str]:
    return namespace or "default", partition or "default"


def _noted(service: str, notes: list[str]) -> tuple[Problem, ...]:
    problems = [_problem(service, f"{note}; the rest of the chain is used.") for note in dict.fromkeys(notes)]
    if len(problems) > _MAX_NOTES:
        problems = [
            *problems[:_MAX_NOTES],
            _problem(service, f"{len(problems) - _MAX_NOTES} more like these are not listed."),
        ]
    return tuple(problems)


def _problem(service: str, sentence: str) -> Problem:
    return Problem(
        code=Code.DISCOVERY_CHAIN, source=f"consul discovery chain {shown(service)}", sentence=sentence
    )
