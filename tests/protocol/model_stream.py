"""One stream of the model, and what must always be true of what is sent on it."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from tests.protocol.fake_envoy import CHILD, PARENT
from tests.protocol.replica import TYPES, Replica, served
from tests.protocol.resources import child, content
from tests.protocol.talk import TALKS, Sent, Talk
from xds_server.model.types import TypeUrl
from xds_server.protocol import Answer


class Stream:
    """A conversation with one replica, about one type or all; what is on its way to the client is `wire`."""

    def __init__(self, variant: str, replica: Replica, only: TypeUrl | None, node: str) -> None:
        self.variant = variant
        self.replica = replica
        self.view = replica.kind.view(node)
        self.talk: Talk = TALKS[variant](served(self.view), only=only)
        self.wire: deque[Sent] = deque()
        self.behind: set[str] = set()
        """Routes that arrived behind clusters, and are in use."""
        self._known: dict[TypeUrl, dict[str, str]] = {type_url: {} for type_url in TYPES}
        """What was sent on this stream, or brought along, and is still there."""
        self._asked: dict[TypeUrl, set[str]] = {type_url: set() for type_url in TYPES}
        """Names whose next sending is needed: asked for, or sent under their parent's changed content."""
        self._named: dict[TypeUrl, set[str]] = {type_url: set() for type_url in TYPES}
        """The names of the last SotW request that counted."""
        self._accepted: dict[TypeUrl, dict[str, str]] = {type_url: {} for type_url in TYPES}
        self._refused: dict[TypeUrl, dict[str, str]] = {type_url: {} for type_url in TYPES}
        """What came in a response the client rejected, and was not accepted before or since."""
        self._in_doubt: dict[TypeUrl, set[str]] = {type_url: set() for type_url in TYPES}
        """Names that came in a response the client rejected, whatever it made of them."""
        self._once_more: dict[TypeUrl, set[str]] = {type_url: set() for type_url in TYPES}
        """Names that may be sent without need: in state of the world, what the client rejected and what left
        then, as it may come back; and what came in bad company, as it may change while it waits for an answer
        before it goes out once more."""
        self._beginning = set(CHILD)
        """Types whose first answer is needed even if it says nothing."""

    def full(self, type_url: TypeUrl) -> bool:
        """Tell whether responses of a type hold all there is."""
        return self.variant == "sotw" and type_url in CHILD

    def offer(self) -> None:
        """Offer what is served now."""
        newest, before = served(self.view), self.talk.machine.snapshot
        if self.variant == "sotw":
            # What is gone is forgotten without a word, and sent again when it is back.
            for type_url in PARENT:
                for name in self._known[type_url].keys() - newest.sets[type_url].by_name.keys():
                    del self._known[type_url][name]
            for type_url, refused in self._refused.items():
                self._once_more[type_url] |= refused.keys() - newest.sets[type_url].by_name.keys()
        self.view.hand_over(self.talk.machine)
        self._send(self.talk.outbox())
        if before is newest:
            assert not self.talk.outbox()

    def hear(self, type_url: TypeUrl, request: Any) -> bool:
        """Take a request; tell whether the clients of the replica may be served something else for it."""
        self._note_request(type_url, request)
        answer = self.talk.hear(request)
        if answer is not None:
            assert answer.rejected == request.HasField("error_detail")
            self._note_answer(answer)
            self.view.settle(answer)
            self.offer()
        self._send(self.talk.outbox())
        return answer is not None

    # --- what the client says ----------------------------------------------------------------------------

    def _note_request(self, type_url: TypeUrl, request: Any) -> None:
        """Note which names a request asks for anew, and what a new stream says is there already."""
        asked = self._asked[type_url]
        if self.variant == "delta":
            versions = request.initial_resource_versions
            current = dict(self._claimed(type_url, versions))
            asked.update(set(request.resource_names_subscribe) - current.keys())
            nothing_owed = bool(current) and current.keys() == versions.keys()
        else:
            current = dict(self._claimed_whole(type_url, request))
            nothing_owed = bool(current)
            if request.response_nonce == self.talk.latest.get(type_url, ""):
                names = set(request.resource_names)
                self._asked[type_url] = (asked | (names - self._named[type_url])) & names
                self._named[type_url] = names
        self._known[type_url].update(current)
        if nothing_owed:
            self._beginning.discard(type_url)

    def _claimed(self, type_url: TypeUrl, versions: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Give what a delta client says it has and is served still, but for what it has lost since."""
        for name, version in versions.items():
            resource = self.talk.machine.snapshot.resource(type_url, name)
            if resource is not None and resource.version == version and name not in self._asked[type_url]:
                yield content(type_url, resource.packed)

    def _claimed_whole(self, type_url: TypeUrl, request: Any) -> Iterator[tuple[str, str]]:
        """Give everything, where a SotW client with a wildcard says that it has that."""
        everything = self.talk.machine.snapshot.sets[type_url]
        first = type_url in CHILD and not request.response_nonce and not request.HasField("error_detail")
        if first and request.version_info == everything.version:
            for resource in everything.wildcard.values():
                yield content(type_url, resource.packed)

    def _note_answer(self, answer: Answer) -> None:
        accepted, refused = self._accepted[answer.type], self._refused[answer.type]
        if answer.rejected:
            self._in_doubt[answer.type] |= answer.resources.keys()
        else:
            known = self._known[answer.type]
            words = {name: content(answer.type, one.packed)[1] for name, one in answer.resources.items()}
            self._in_doubt[answer.type] -= {name for name, word in words.items() if known.get(name) == word}
        for name, resource in answer.resources.items():
            word = content(answer.type, resource.packed)[1]
            if not answer.rejected:
                accepted[name] = word
                refused.pop(name, None)
            elif len(answer.suspects) > 1 or answer.overtaken:
                # It may be in bad company, and may go out once more without it.
                self._asked[answer.type].add(name)
                if self.variant == "sotw":
                    self._once_more[answer.type].add(name)
            elif accepted.get(name) != word:
                refused[name] = word

    # --- what the server says ----------------------------------------------------------------------------

    def _send(self, responses: list[Sent]) -> None:
        for sent in responses:
            if not self.full(sent.type):
                self._check_rejected(sent)
            self._check_need(sent)
            self._note_sent(sent)
            self.wire.append(sent)

    def _check_rejected(self, sent: Sent) -> None:
        """What was rejected is not sent again unless it is asked for."""
        known, asked, refused = (by_type[sent.type] for by_type in (self._known, self._asked, self._refused))
        for name, word in sent.resources.items():
            assert not word == known.get(name) == refused.get(name) or name in asked, sent

    def _check_need(self, sent: Sent) -> None:
        """No response without need."""
        known, asked = self._known[sent.type], self._asked[sent.type] | self._once_more[sent.type]
        needed = {name for name, word in sent.resources.items() if known.get(name) != word or name in asked}
        if self.full(sent.type):
            needed |= known.keys() - sent.resources.keys()
        else:
            assert needed >= sent.resources.keys(), sent
        assert needed or sent.removed or sent.type in self._beginning, sent

    def _note_sent(self, sent: Sent) -> None:
        known = self._known[sent.type]
        self._beginning.discard(sent.type)
        for name, word in sent.resources.items():
            if sent.type in CHILD and (known.get(name) != word or name in self._in_doubt[sent.type]):
                self._asked[CHILD[sent.type]].add(child(name, word))
        again = {name for name, word in sent.resources.items() if known.get(name) == word}
        self._once_more[sent.type] -= again
        if self.full(sent.type):
            known.clear()
        known.update(sent.resources)
        for name in sent.removed:
            known.pop(name, None)
        self._asked[sent.type] -= {*sent.resources, *sent.removed}
