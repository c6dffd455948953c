"""What one stream is served: the snapshot of its kind without what is withheld from it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from xds_server.model.types import TypeUrl
from xds_server.protocol import Answer
from xds_server.protocol.machine import Machine
from xds_server.protocol.order import FULL_STATE
from xds_server.protocol.subscription import WILDCARD
from xds_server.runtime.accepted import version_in
from xds_server.runtime.latest import Latest
from xds_server.runtime.trial import Trial
from xds_server.snapshot import Key, Snapshot, fall_back

if TYPE_CHECKING:
    from xds_server.runtime.kind import Kind, Refusal

_MOST_REPLACED: Final = 256
"""Rejected resources that something is put in place of; to a client that rejects more, nothing helps."""


class View:
    """One stream of the client `node`, opened as the `turn`-th of its kind."""

    def __init__(self, kind: "Kind", node: str, turn: int) -> None:
        self.node = node
        self.snapshots: Latest[Snapshot] = Latest()
        self.changed: Callable[[], None] | None = None
        """What is to be called when something else is to be served from now on."""
        self._kind = kind
        self._turn = turn
        self._claims: dict[TypeUrl, Mapping[str, str]] = {}
        """The versions the client says it had when the stream began."""
        self._acknowledged: set[TypeUrl] = set()
        """Types of which the client has acknowledged a response."""
        self._refused: dict[Key, tuple[str, str]] = {}
        """Versions the client rejected and has not accepted since, each with its words."""
        self._keeps: set[Key] = set()
        """What of it the client has, or may have, an older version of."""
        self._untold: set[Key] = set()
        """What of it the kind was not told."""
        self._let: set[Key] = set()
        """What others rejected and this client is offered all the same."""
        self._trials: dict[TypeUrl, Trial] = {}
        self._again: dict[TypeUrl, frozenset[str]] = {}
        """What is to be sent once more, as it was rejected in bad company."""
        self.refresh()

    def close(self) -> None:
        """Tell the kind that the stream has ended."""
        self._kind.leave(self)

    # --- what is served ----------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Serve what is to be served now."""
        if self._kind.raw is not None:
            differs = self.snapshots.publish(self._served(self._kind.raw))
            if differs and self.changed is not None:
                self.changed()

    def _served(self, raw: Snapshot) -> Snapshot:
        if not (self._refused or self._kind.refusals):
            return raw
        tested = {(type_url, name) for type_url, one in self._trials.items() for name in one.testing}
        held = {
            key for key, one in self._kind.refusals.items() if key not in tested and self._is_held(key, one)
        }
        if tested:
            others = self._kind.without(frozenset(filter(self._removable, held - self._refused.keys())))
            # Alike for nobody else, and soon over; so nothing is made to stand in for hundreds of suspects.
            keys = filter(self._removable, self._refused.keys() - tested)
            return fall_back(others, frozenset(keys), self._kind.good, stand_ins=False)
        if len(self._refused) <= _MOST_REPLACED:
            held |= self._refused.keys()
        return self._kind.without(frozenset(filter(self._removable, held)))

    def _is_held(self, key: Key, refusal: "Refusal") -> bool:
        """Tell whether what others rejected is withheld here: if that is sure, or this is a newcomer."""
        if key in self._let:
            return False
        if refusal.condemned:
            return True
        new = self._turn > refusal.turn or key[0] not in self._acknowledged
        return new and (not refusal.accepted or self.node in refusal.errors)

    def _removable(self, key: Key) -> bool:
        """Tell whether something else may be served: not where it may take the place of a better version.

        The client may have one that is not known here: it comes from another server, or accepted it long ago.
        """
        if self._kind.can_go_back(key):
            return True
        claims = self._claims.get(key[0], {})
        return not (key in self._keeps or key[1] in claims or WILDCARD in claims)

    def hand_over(self, machine: Machine) -> None:
        """Offer the stream's machine what is served now, and what is to be tried again."""
        served = self.snapshots.value
        if served is not None and (served is not machine.snapshot or served.replaced):
            machine.offer(served)
        while self._again:
            type_url, names = self._again.popitem()
            lost = names - machine.again(type_url, names)
            if lost:
                # Nobody will say anything about what is not sent.
                self._clear(type_url, lost)
                self.refresh()
                if self.snapshots.value is not None:
                    machine.offer(self.snapshots.value)

    def forget_old(self, raw: Snapshot) -> None:
        """Forget what was said of versions that are not the newest any more."""
        if not (self._refused or self._let):
            return
        old = {key for key, (version, _) in self._refused.items() if version_in(raw, key) != version}
        for key in old:
            del self._refused[key]
        self._untold -= old
        self._keeps -= old
        self._let &= self._kind.refusals.keys()
        for type_url in {key[0] for key in old}:
            self._clear(type_url, {name for kind, name in old if kind is type_url})

    # --- what the client says ----------------------------------------------------------------------------

    def settle(self, answer: Answer) -> None:
        """Take what the client made of a response; what it is served from now on is in `snapshots`."""
        if answer.error is None and not (answer.claims or self._refused or self._kind.refusals):
            # Nobody rejects anything: nearly every answer there is, and it changes nothing for anybody.
            self._accept(answer)
            return
        if answer.claims:
            # Shared by all clients that say the same.
            self._claims[answer.type] = answer.claims
        if answer.error is None:
            others = self._accept(answer)
        elif self._reject(answer):
            others = False
        else:
            return
        others |= self._tell(answer.type, answer.at)
        if others:
            self._kind.refresh()
        else:
            self.refresh()

    def _accept(self, answer: Answer) -> bool:
        others = self._kind.accept(answer.resources, answer.type, answer.claims)
        if answer.nonce:
            self._acknowledged.add(answer.type)
        if self._refused:
            accepted = {
                name
                for name, one in answer.resources.items()
                if self._refused.get((answer.type, name), ("",))[0] == one.version
            }
            for name in accepted:
                del self._refused[answer.type, name]
                self._untold.discard((answer.type, name))
                self._keeps.discard((answer.type, name))
            if accepted:
                self._clear(answer.type, accepted)
        return others

    def _reject(self, answer: Answer) -> bool:
        """Note what may be at fault; tell whether that is anything but what was put in place of it."""
        raw, error = self._kind.raw, answer.error or ""
        suspects = {
            name: answer.resources[name].version
            for name in answer.suspects
            if raw is not None and version_in(raw, (answer.type, name)) == answer.resources[name].version
        }
        if not suspects:
            return False
        named = answer.named & suspects.keys()
        if not named and self._overtaken(answer):
            # It can go out without that at once. The next list of all there is comes by itself.
            if not _is_list(answer):
                trial = self._trials.get(answer.type)
                tested = suspects if trial is None else suspects.keys() & trial.testing
                self._again[answer.type] = frozenset(tested)
            return False
        self._refused.update({(answer.type, name): (version, error) for name, version in suspects.items()})
        self._keeps.update((answer.type, name) for name in suspects.keys() & answer.keeps)
        blamed = named or suspects.keys()
        self._untold.update((answer.type, name) for name in blamed)
        stay = {name for name in blamed if not self._removable((answer.type, name))}
        # Only lists of all there is hold again what was rejected.
        if stay and _is_list(answer):
            self._give_up(answer.type, frozenset(suspects), named | stay)
            return True
        trial = self._trials.setdefault(answer.type, Trial())
        trial.reject(suspects, named)
        self._go_on(answer.type, trial)
        return True

    def _overtaken(self, answer: Answer) -> bool:
        """Tell whether it may be something that is not served any more that was rejected, not the rest."""
        # What a trial withholds is not served either, and looked at in its turn.
        trying = self._kind.raw if answer.type in self._trials else None
        current = [one for one in (self.snapshots.value, trying) if one is not None]
        return answer.overtaken or any(
            all(version_in(one, (answer.type, name)) != answer.resources[name].version for one in current)
            for name in answer.suspects
        )

    def _give_up(self, type_url: TypeUrl, sent: frozenset[str], bad: frozenset[str]) -> None:
        """End the search, as each list from now on holds what was just rejected and has to stay in it.

        No answer tells anything of what was `sent` along with that, or of what would be tried next. All but
        what is `bad` goes as it is: Envoy applies what is good of it, and what it applied is not taken away.
        """
        trial = self._trials.pop(type_url, None)
        unsettled = frozenset() if trial is None else trial.unsettled - bad
        freed = {(type_url, name) for name in unsettled | sent - bad}
        for key in freed:
            self._refused.pop(key, None)
        self._untold -= freed
        self._keeps -= freed
        self._again[type_url] = unsettled - sent

    def _clear(self, type_url: TypeUrl, names: Iterable[str]) -> None:
        trial = self._trials.get(type_url)
        if trial is None:
            return
        before = trial.testing
        trial.clear(set(names))
        if not trial.testing or trial.testing - before:
            self._go_on(type_url, trial)

    def _go_on(self, type_url: TypeUrl, trial: Trial) -> None:
        """Let the next part through, or end the trial: what is left is at fault, or was not looked at."""
        self._again.pop(type_url, None)
        if trial.testing:
            self._again[type_url] = trial.testing
        else:
            del self._trials[type_url]
            self._untold.update(key for key in self._refused if key[0] is type_url)

    def _tell(self, type_url: TypeUrl, at: float) -> bool:
        """Tell the kind what was rejected, once the client has acknowledged anything of the type.

        Before that it may be one that rejects everything, and its word is worth nothing.
        """
        if type_url not in self._acknowledged:
            return False
        due = {key for key in self._untold if key[0] is type_url}
        self._untold -= due
        return self._kind.refuse(self.node, {key: self._refused[key] for key in sorted(due)}, at)

    # --- what the kind asks ------------------------------------------------------------------------------

    def waits_for(self, key: Key, refusal: "Refusal") -> bool:
        """Tell whether something is withheld from this client that it has not rejected itself."""
        return key not in self._refused and key[0] in self._acknowledged and self._is_held(key, refusal)

    def let_through(self, keys: Iterable[Key]) -> None:
        """Offer what others rejected."""
        self._let.update(keys)
        self.refresh()

    def rejects_all(self) -> Iterator[tuple[TypeUrl, str]]:
        """Give the types of which the client rejected everything so far, and its words."""
        words = {key[0]: self._refused[key][1] for key in self._untold if key[0] not in self._acknowledged}
        yield from sorted(words.items())


def _is_list(answer: Answer) -> bool:
    """Tell whether it is about a list of all there is; only a state-of-the-world response has a version."""
    return bool(answer.version) and answer.type in FULL_STATE
