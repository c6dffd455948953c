"""What clients of one kind made of what they were served, and so what the next of them is served.

A resource that one client rejects and none of its kind accepts is replaced by the version that was accepted
last, for all of them, until its content changes or somebody accepts it. So a bad resource reaches the clients
that are there, which keep what they have, and none that comes later. One client alone can hold nothing back
that another accepts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from xds_server.model.problem import Code, Problem
from xds_server.model.types import TypeUrl
from xds_server.protocol import Answer
from xds_server.runtime.latest import Latest
from xds_server.snapshot import Resource, Snapshot, fall_back

Key: TypeAlias = tuple[TypeUrl, str]

_SHOWN: Final = 200
"""How many characters of a client's error text a problem shows."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A version that a client rejected, and what it said."""

    version: str
    node: str
    error: str


class Kind:
    """Clients that are served the same snapshots: one group and one version of the software."""

    def __init__(self) -> None:
        self.snapshots: Latest[Snapshot] = Latest()
        self._raw: Snapshot | None = None
        self._own_sequence = False
        """Whether the snapshots are numbered here: once they differ from the group's, those do not fit."""
        self._accepted: dict[TypeUrl, dict[str, Resource]] = {type_url: {} for type_url in TypeUrl}
        self._gone: set[Key] = set()
        """What is accepted and in the newest snapshot no more."""
        self._refused: dict[Key, Refusal] = {}

    def publish(self, raw: Snapshot) -> bool:
        """Take the newest snapshot of the group; tell whether what is served differs."""
        before, self._raw = self._raw, raw
        self._refused = {key: one for key, one in self._refused.items() if _version(raw, key) == one.version}
        self._let_go(raw, before)
        return self._serve()

    def settle(self, answer: Answer, node: str) -> bool:
        """Take what the client `node` made of a response; tell whether what is served differs now."""
        if answer.error is None:
            settled = self._accept(answer)
        else:
            settled = self._refuse(answer, Refusal("", node, answer.error))
        return settled and self._serve()

    def _accept(self, answer: Answer) -> bool:
        accepted, cleared = self._accepted[answer.type], False
        for name, resource in answer.resources.items():
            if not self._newer(accepted.get(name), resource):
                continue
            accepted[name] = resource
            # What is accepted may be what the rejected version, or one that leads here, falls back on.
            cleared |= bool(self._refused)
            refusal = self._refused.get((answer.type, name))
            if refusal is not None and refusal.version == resource.version:
                del self._refused[answer.type, name]
        return cleared

    def _newer(self, known: Resource | None, resource: Resource) -> bool:
        """Tell whether an accepted resource is worth remembering: of this server, and not overtaken."""
        if self._raw is None or known is resource:
            return False
        current = self._raw.sets[resource.type].by_name.get(resource.name)
        if current is None:
            return False
        return known is None or known.version != current.version

    def _refuse(self, answer: Answer, refusal: Refusal) -> bool:
        """Note what was at fault, unless somebody of this kind has accepted it."""
        accepted, noted = self._accepted[answer.type], False
        for name in answer.at_fault:
            resource = answer.resources[name]
            key, good = (answer.type, name), accepted.get(name)
            if good is not None and good.version == resource.version:
                continue
            if self._raw is not None and _version(self._raw, key) == resource.version:
                noted |= key not in self._refused
                self._refused.setdefault(key, Refusal(resource.version, refusal.node, refusal.error))
        return noted

    def _serve(self) -> bool:
        raw, served = self._raw, self.snapshots.value
        if raw is None:
            return False
        self._own_sequence |= bool(self._refused)
        if not self._own_sequence:
            return self.snapshots.publish(raw)
        refused = [one for key in self._refused if (one := raw.resource(*key)) is not None]
        return self.snapshots.publish(fall_back(raw, refused, self._accepted, served or raw))

    def _let_go(self, raw: Snapshot, before: Snapshot | None) -> None:
        """Forget what was accepted and is gone, but for what a version that may be served again needs."""
        changed = None if before is None else raw.changed_since(before.sequence)
        if changed is None:
            changed = {type_url: frozenset(by_name) for type_url, by_name in self._accepted.items()}
        self._gone.update((type_url, name) for type_url, names in changed.items() for name in names)
        gone = self._gone = {
            (type_url, name)
            for type_url, name in self._gone
            if name in self._accepted[type_url] and name not in raw.sets[type_url].by_name
        }
        if not gone:
            return
        for key in gone - self._needed(raw, gone):
            del self._accepted[key[0]][key[1]]

    def _needed(self, raw: Snapshot, gone: set[Key]) -> set[Key]:
        """Give what of the gone resources accepted versions lead to that are no longer the newest."""
        waiting = [
            resource
            for type_url, by_name in self._accepted.items()
            for name, resource in by_name.items()
            if (type_url, name) not in gone and _version(raw, (type_url, name)) != resource.version
        ]
        needed: set[Key] = set()
        while waiting:
            for reference in waiting.pop().references:
                key = (reference.type, reference.name)
                if key in gone and key not in needed:
                    needed.add(key)
                    waiting.append(self._accepted[reference.type][reference.name])
        return needed

    def problems(self) -> Iterator[Problem]:
        """Tell what is rejected at present."""
        for (type_url, name), refusal in self._refused.items():
            known = name in self._accepted[type_url]
            served = (
                "the last accepted version is served" if known else "there is no accepted version to serve"
            )
            yield Problem(
                code=Code.RESOURCE_REJECTED,
                source=f"{type_url.short} {name}",
                sentence=f"client {refusal.node!a} rejected it: {refusal.error[:_SHOWN]!a}; {served}",
            )


def _version(snapshot: Snapshot, key: Key) -> str | None:
    resource = snapshot.resource(*key)
    return None if resource is None else resource.version
