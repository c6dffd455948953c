"""The signs against an answer that takes something away, as a table; pure.

Indexes: https://developer.hashicorp.com/consul/api-docs/features/blocking , implementation details.
Leader and last contact: .../features/consistency . Age: .../features/caching .
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from xds_server.consul.errors import FILTERED, NO_INSTANCE, NO_LEADER, NO_SENTINEL
from xds_server.consul.query import Answer


class Question(StrEnum):
    """What was asked for: the list of services, the instances of one, or the config entries of a kind."""

    LIST = "services"
    SERVICE = "instances"
    ENTRIES = "config entries"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What is asked of an answer that takes something away; seconds.

    `max_stale` bounds how long ago its server heard of the leader, `max_age` how long it lay in the agent's
    cache. Where only time can tell a loss from a restored snapshot, the leader has to say so for `hold`.
    """

    max_stale: float = 10.0
    max_age: float = 10.0
    hold: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an answer says: it lacks `gone` of the `of` names or instances that are known.

    `shows` is whether it has what it cannot lack: the list Consul's own service, a listed service any row;
    of config entries, whether the list has.
    """

    gone: int = 0
    of: int = 0
    shows: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An answer, and what is remembered of those before it.

    `index` is that of the last answer that was believed as a whole, `failed` whether there was an error
    since; `held` whether a loss is being held, `flaps` whether the answers contradict each other.
    """

    question: Question
    answer: Answer
    claim: Claim
    by_leader: bool
    bounds: Bounds
    index: int
    failed: bool
    held: bool
    flaps: bool

    @property
    def lacks(self) -> bool:
        """Whether the answer takes anything away."""
        return self.claim.gone > 0

    @property
    def missing(self) -> str:
        """What is missing, e.g. `3 of 10 services`."""
        return f"{self.claim.gone} of {self.claim.of} {self.question.value}"

    @property
    def went_back(self) -> bool:
        """Whether the index is below the believed one, and the leader has not said that nothing is lost."""
        back = 0 < self.answer.index < self.index and (self.lacks or not self.by_leader)
        return back or (self.held and self.lacks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One sign against an answer.

    It speaks against all of it, or only against what it takes away. With `ask_leader` the leader's answer
    may settle it; with `hold`, the leader's answer and time do.
    """

    speaks: Callable[[Case], bool]
    sentence: Callable[[Case], str]
    against_all: bool = False
    ask_leader: bool = False
    hold: bool = False


SIGNS: Final = (
    # Two servers, or two clusters behind one address, take turns: neither is believed.
    Sign(
        speaks=lambda case: case.flaps,
        sentence=lambda _: (
            "Consul's answers contradict each other again and again, so none is believed until there was a "
            "minute without: check that the Consul address leads to servers of one cluster only."
        ),
        against_all=True,
    ),
    # No `consul`: the token cannot see the catalog. No row: it may not read the nodes.
    Sign(
        speaks=lambda case: not case.claim.shows,
        sentence=lambda case: NO_INSTANCE if case.question is Question.SERVICE else NO_SENTINEL,
        against_all=True,
    ),
    # The leader would filter as well.
    Sign(
        speaks=lambda case: case.lacks and case.answer.filtered_by_acls,
        sentence=lambda _: FILTERED,
    ),
    # The next three tell of a server, or an agent's cache, that is behind.
    Sign(
        speaks=lambda case: case.lacks and not case.answer.known_leader,
        sentence=lambda _: NO_LEADER,
        ask_leader=True,
    ),
    Sign(
        speaks=lambda case: case.lacks and case.answer.last_contact > 1000 * case.bounds.max_stale,
        sentence=lambda case: (
            f"Consul's answer lacks {case.missing}, but comes from a server that has not heard of its "
            f"leader for more than {case.bounds.max_stale:g} s: look at the Consul servers."
        ),
        ask_leader=True,
    ),
    Sign(
        speaks=lambda case: case.lacks and case.answer.age > case.bounds.max_age,
        sentence=lambda case: (
            f"Consul's answer lacks {case.missing}, but lay in the agent's cache for more than "
            f"{case.bounds.max_age:g} s: look whether the agent reaches its servers."
        ),
        ask_leader=True,
    ),
    # A server that is behind, a restored snapshot, or lost data. The leader settles the first; then what
    # the answer adds is true in any case, and what it lacks may come back.
    Sign(
        speaks=lambda case: case.went_back,
        sentence=lambda case: (
            "Consul's index went backwards, as when a snapshot is restored or its data is lost, and "
            f"{case.missing} are missing: restore them, or register them again."
        ),
        against_all=True,
        ask_leader=True,
        hold=True,
    ),
    # Nothing tells whether it is newer than what is known.
    Sign(
        speaks=lambda case: case.lacks and case.answer.index == 0,
        sentence=lambda case: (
            f"Consul's answer lacks {case.missing} and has no X-Consul-Index, so it may be old: "
            "see what stands between here and Consul."
        ),
        ask_leader=True,
        hold=True,
    ),
    # Every removal moves the index; what the token may see does not.
    Sign(
        speaks=lambda case: case.lacks and 0 < case.answer.index == case.index,
        sentence=lambda case: (
            f"Consul's answer lacks {case.missing}, but by its index nothing has changed: "
            "see whether the token has lost rights."
        ),
    ),
    # A Consul that has just come back may not have gathered everything yet.
    Sign(
        speaks=lambda case: case.failed and 2 * case.claim.gone > case.claim.of and not case.by_leader,
        sentence=lambda case: (
            f"Consul has just failed, and its next answer lacks {case.missing}: its leader is asked."
        ),
        against_all=True,
        ask_leader=True,
    ),
)
