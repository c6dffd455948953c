"""Whether an answer of Consul proves what it takes away; one `Evidence` for each question, and pure.

A 200 is no proof of emptiness. Consul answers so to a token that may read nothing, after the loss of its
data, from a server without a leader and from a restored old snapshot. An answer that takes nothing away is
believed; for one that does, every sign of `signs.SIGNS` has to be silent.
"""

import time
from typing import Final

from xds_server.consul.errors import Doubted
from xds_server.consul.query import Answer, Reads
from xds_server.consul.signs import SIGNS, Bounds, Case, Claim, Question, Sign

__all__ = ["Bounds", "Claim", "Evidence", "Objection", "Question"]

_FLIPS: Final = 3
_QUIET: Final = 60.0
# Fewer services than these may well be registered and deregistered together, again and again.
_MANY: Final = 10


class Objection(Doubted):
    """An answer that is not believed as it stands.

    With `adds`, what it adds or changes may be believed all the same, and what it lacks stays. With
    `ask_leader` nothing is decided yet: the same question goes to the leader at once (`next_reads`).
    """

    def __init__(self, sentence: str, *, adds: bool, ask_leader: bool = False) -> None:
        super().__init__(sentence)
        self.adds = adds
        self.ask_leader = ask_leader


class Evidence:
    """Weighs the answers to one question against what was believed before.

    evidence.weigh(answer, claim, reads=reads, at=now)   raises Objection
    evidence.failed()                                    after any other error
    """

    __slots__ = (
        "_bounds",
        "_failed",
        "_flips",
        "_held_since",
        "_index",
        "_lacking",
        "_question",
        "_seen",
        "next_reads",
    )

    def __init__(self, question: Question, bounds: Bounds) -> None:
        self._question = question
        self._bounds = bounds
        self._index = 0  # of the last answer that was believed as a whole
        self._seen = 0  # of the last answer that had one
        self._failed = False
        self._lacking = False  # whether the last answer lacked most of a list
        self._held_since: float | None = None
        self._flips: tuple[float, ...] = ()
        self.next_reads: Reads | None = None
        """Who has to answer the next query; None: whom the question names."""

    def weigh(self, answer: Answer, claim: Claim, *, reads: Reads | None, at: float) -> None:
        """Return if the answer is believed as a whole; raise Objection if it is not.

        `reads` is the `next_reads` it was asked with; `at` is the time in Unix seconds, of a clock that
        does not jump.
        """
        self._note_flip(answer, claim, at)
        case = Case(
            question=self._question,
            answer=answer,
            claim=claim,
            by_leader=reads is Reads.CONSISTENT,
            bounds=self._bounds,
            index=self._index,
            failed=self._failed,
            held=self._held_since is not None,
            flaps=self._flaps(at),
        )
        self.next_reads = None
        for sign in SIGNS:
            if sign.speaks(case):
                self._object(sign, case, at)
        self._index = answer.index
        self._held_since = None
        self._failed = False

    def failed(self) -> None:
        """Take note of a query without an answer: after it, a large loss needs the word of the leader."""
        self._failed = True
        self.next_reads = None

    def _object(self, sign: Sign, case: Case, at: float) -> None:
        """Raise what the sign demands; return if the leader has said so for long enough."""
        sentence = sign.sentence(case)
        if sign.ask_leader and not case.by_leader:
            self.next_reads = Reads.CONSISTENT
            raise Objection(sentence, adds=not sign.against_all, ask_leader=True)
        if not sign.hold:
            raise Objection(sentence, adds=not sign.against_all)
        if self._held_since is None:
            self._held_since = at
        until = self._held_since + self._bounds.hold
        if at < until:
            self.next_reads = Reads.CONSISTENT
            clock = time.strftime("%H:%M:%S", time.gmtime(until))
            raise Objection(f"{sentence} They are kept until {clock} UTC, then it is believed.", adds=True)

    def _note_flip(self, answer: Answer, claim: Claim, at: float) -> None:
        """Remember an answer that takes back what was said before it."""
        back = 0 < answer.index < self._seen
        if back and self._held_since is not None:
            self._held_since = at  # not the history that was held any more
        self._seen = answer.index or self._seen
        lacking = self._question is Question.LIST and claim.of >= _MANY and 2 * claim.gone > claim.of
        lost, self._lacking = lacking and not self._lacking, lacking
        if back or lost:
            self._flips = (*self._flips, at)[-_FLIPS - 1 :]

    def _flaps(self, at: float) -> bool:
        """Tell whether there were too many flips within a minute, and no quiet minute since the last."""
        many = len(self._flips) > _FLIPS and self._flips[-1] - self._flips[0] <= _QUIET
        if many and at - self._flips[-1] >= _QUIET:
            self._flips = ()
            return False
        return many
