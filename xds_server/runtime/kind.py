"""What clients of one kind made of what they were served, and so what the others of them are served.

A version that a client rejects and none of its kind accepts is withheld: from those that rejected it, from
those that come later, and from all once two nodes have rejected it. In its place goes the version accepted
last, or a stand-in. Every now and then one client more is offered it, so that nobody who lies about it can
hold it back for ever; and what one accepts goes to all that have not rejected it themselves.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from xds_server.model.problem import Code, Problem
from xds_server.model.proxy import Group
from xds_server.model.types import TypeUrl
from xds_server.model.withheld import Refused, Withheld
from xds_server.protocol.order import FULL_STATE
from xds_server.protocol.subscription import WILDCARD
from xds_server.runtime.accepted import Accepted, version_in
from xds_server.runtime.latest import Latest
from xds_server.runtime.view import View
from xds_server.snapshot import EMPTY, Key, Resource, Snapshot, can_fall_back, fall_back

FIRST_OFFER: Final = 10.0
"""Seconds after which what one client alone rejected is offered to one that came later."""

NEXT_OFFER: Final = 60.0
"""Seconds after which it is offered to the next one."""

MOST_REFUSED: Final = 256
"""Rejected resources that a kind remembers; one client can name every resource there is."""

_MOST_NODES: Final = 8
_ENOUGH_NODES: Final = 2
"""Nodes whose word counts against a version that nobody has accepted."""

_MOST_SNAPSHOTS: Final = 64
_SHOWN: Final = 200
"""How many characters of a client's error text a problem shows."""


@dataclass(slots=True)
class Refusal:
    """A version that clients rejected: `errors` are their words, by node.

    `turn` tells who came later. At `offer_at`, in Unix seconds, one client more is offered it.
    """

    version: str
    turn: int
    offer_at: float
    errors: dict[str, str] = field(default_factory=dict)
    accepted: bool = False

    @property
    def condemned(self) -> bool:
        """Whether it is withheld from all, as far as they have not accepted it themselves."""
        return not self.accepted and len(self.errors) >= _ENOUGH_NODES


class Kind:
    """Clients that are served the same snapshots: one group and one version of the software."""

    def __init__(self) -> None:
        self.snapshots: Latest[Snapshot] = Latest()
        """What those are served who say nothing of what they make of it: clients that poll."""
        self.refusals: dict[Key, Refusal] = {}
        self.raw: Snapshot | None = None
        self._taken: dict[TypeUrl, Mapping[str, Resource]] = {}
        """What was accepted last of each type: the same for all streams that were sent the same."""
        self._accepted = Accepted()
        self._views: dict[View, None] = {}
        self._turn = 0
        self._altered: dict[frozenset[tuple[Key, str]], Snapshot] = {}
        """Snapshots with keys withheld, made once for all streams; each key with the version in its place."""

    # --- what is served ----------------------------------------------------------------------------------

    def publish(self, raw: Snapshot) -> None:
        """Take the newest snapshot of the group."""
        before, self.raw, self._taken = self.raw, raw, {}
        self._altered = {}
        self.refusals = {
            key: one for key, one in self.refusals.items() if version_in(raw, key) == one.version
        }
        self._accepted.let_go(raw, before)
        for view in self._views:
            view.forget_old(raw)
        self.refresh()

    def view(self, node: str) -> View:
        """Give a stream of the client `node` its view of what is served; it has to be closed."""
        self._turn += 1
        view = View(self, node, self._turn)
        self._views[view] = None
        return view

    def leave(self, view: View) -> None:
        """Take a view that is closed."""
        self._views.pop(view, None)

    def refresh(self) -> None:
        """Serve everyone what they are to have now."""
        if self.raw is None:
            return
        self.snapshots.publish(
            self.without(frozenset(key for key, one in self.refusals.items() if not one.accepted))
        )
        for view in self._views:
            view.refresh()

    def without(self, keys: frozenset[Key]) -> Snapshot:
        """Give the newest snapshot with these withheld, the same one to all who ask."""
        if self.raw is None or not keys:
            return self.raw or EMPTY
        named = frozenset((key, "" if (good := self.good(key)) is None else good.version) for key in keys)
        found = self._altered.get(named)
        if found is None:
            if len(self._altered) >= _MOST_SNAPSHOTS:
                self._altered = {}
            found = self._altered[named] = fall_back(self.raw, keys, self.good)
        return found

    def good(self, key: Key) -> Resource | None:
        """Give the version of a resource to go back to: accepted last, and not the newest; None for none."""
        return self._accepted.good(key, None if self.raw is None else version_in(self.raw, key))

    def can_go_back(self, key: Key) -> bool:
        """Tell whether there is such a version, and all that it needs."""
        return self.raw is not None and can_fall_back(self.raw, key, self.good)

    # --- what the views tell -----------------------------------------------------------------------------

    def accept(self, resources: Mapping[str, Resource], type_url: TypeUrl, claims: Mapping[str, str]) -> bool:
        """Take what a client accepted, or says it has; tell whether others are served something else now."""
        raw, cleared = self.raw, False
        news = bool(resources) and resources is not self._taken.get(type_url)
        if raw is None or not (news or self.refusals):
            return False
        if news:
            self._taken[type_url] = resources
        for resource in resources.values():
            self._accepted.take(resource, raw)
        if not self.refusals:
            return False
        # The version of a response that holds no more than what changed says nothing of the rest (P-064).
        everything = type_url in FULL_STATE and claims.get(WILDCARD) == raw.sets[type_url].version
        for key, refusal in self.refusals.items():
            if refusal.accepted or key[0] is not type_url:
                continue
            found, taken = raw.resource(*key), resources.get(key[1])
            has = claims.get(key[1]) if taken is None else taken.version
            if found is not None and (everything or has == refusal.version):
                refusal.accepted = cleared = True
                self._accepted.take(found, raw)
        return cleared

    def refuse(self, node: str, refused: Mapping[Key, tuple[str, str]], at: float) -> bool:
        """Note versions that `node` rejects, each with its words; tell whether it changes what others get."""
        told = False
        for key, (version, error) in refused.items():
            if self.raw is None or key[1] not in self.raw.sets[key[0]].by_name:
                continue
            if version_in(self.raw, key) != version:
                continue
            refusal = self.refusals.get(key)
            if refusal is None:
                if len(self.refusals) >= MOST_REFUSED:
                    continue
                refusal = Refusal(version, self._turn, at + FIRST_OFFER)
                refusal.accepted = self._accepted.has(key, version)
                self.refusals[key] = refusal
            if node not in refusal.errors and len(refusal.errors) < _MOST_NODES:
                refusal.errors[node] = error
                told |= not refusal.accepted
        return told

    def offer_again(self, at: float) -> None:
        """Offer what is withheld to one client more that has not rejected it, where it is time."""
        for one in self.refusals.values():
            # The clock may have been set back.
            one.offer_at = min(one.offer_at, at + NEXT_OFFER)
        due = {key: one for key, one in self.refusals.items() if one.offer_at <= at}
        for view in tuple(self._views) if due else ():
            keys = [key for key, one in due.items() if view.waits_for(key, one)]
            if keys:
                view.let_through(keys)
            for key in keys:
                due.pop(key).offer_at = at + NEXT_OFFER

    # --- what is told of it ------------------------------------------------------------------------------

    def problems(self, origin: Callable[[TypeUrl, str], str]) -> Iterator[Problem]:
        """Tell what is rejected at present, and accepted by nobody; `origin` names what has to be mended."""
        for key, refusal in self.refusals.items():
            if refusal.accepted:
                continue
            type_url, name = key
            served = (
                "there is no accepted version to serve"
                if self.good(key) is None
                else "the last accepted version is served"
            )
            node, error = next(iter(refusal.errors.items()))
            yield Problem(
                code=Code.RESOURCE_REJECTED,
                source=origin(type_url, name),
                sentence=f"client {node!a} rejected {type_url.short} {name}: {error[:_SHOWN]!a}; {served}",
            )
        for view in self._views:
            for type_url, error in view.rejects_all():
                yield Problem(
                    code=Code.RESOURCE_REJECTED,
                    source=f"client {view.node!a}",
                    sentence=f"it rejects every {type_url.short} it is sent: {error[:_SHOWN]!a}; "
                    "others are served them all the same",
                )

    # --- across a restart --------------------------------------------------------------------------------

    def withheld(self, group: Group, agent: str) -> Withheld | None:
        """Give what has to be known of this kind after a restart; None where nothing is rejected."""
        refused = {
            key: one
            for key, one in self.refusals.items()
            if not one.accepted and key[0] is not TypeUrl.SECRET
        }
        if self.raw is None or not refused:
            return None
        return Withheld(
            group=group,
            agent=agent,
            refused=tuple(
                Refused(
                    type=key[0],
                    name=key[1],
                    version=one.version,
                    by=tuple(one.errors),
                    error=next(iter(one.errors.values())),
                )
                for key, one in sorted(refused.items())
            ),
            kept=tuple(self._accepted.kept(sorted(refused), self.raw)),
        )

    def restore(self, withheld: Withheld, at: float) -> None:
        """Take over what a process before this one knew, before the first snapshot is published."""
        self._accepted.restore(withheld.kept)
        for one in _bounded(withheld.refused):
            errors = dict.fromkeys(one.by[:_MOST_NODES], one.error) or {"": one.error}
            refusal = Refusal(one.version, 0, at + NEXT_OFFER, errors)
            self.refusals[one.type, one.name] = refusal


def _bounded(refused: Iterable[Refused]) -> list[Refused]:
    return [one for one in refused if one.type is not TypeUrl.SECRET][:MOST_REFUSED]
