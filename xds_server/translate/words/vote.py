"""Instances that disagree: most passing ones decide, then the lowest service id."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from xds_server.model.problem import Code, Problem
from xds_server.translate.words.pieces import Voice
from xds_server.translate.words.said import Sign
from xds_server.translate.words.values import quoted

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot(Generic[T]):
    """One voice for one value, and the sign that it stands by."""

    voice: Voice
    value: T
    sign: Sign


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[T]):
    """The value that counts, the sign of its lowest service id, and what there is to say."""

    value: T
    sign: Sign
    problems: tuple[Problem, ...] = ()


def decide(service: str, ballots: Iterable[Ballot[T]]) -> Outcome[T]:
    """Decide among at least one ballot.

    Instances that say nothing have no vote. Only if none that says something is passing do the others count.
    """
    ballots = sorted(ballots, key=lambda ballot: ballot.voice.lowest)
    some_pass = any(ballot.voice.passing for ballot in ballots)
    votes: dict[T, int] = {}
    for ballot in ballots:
        weight = ballot.voice.passing if some_pass else ballot.voice.count
        votes[ballot.value] = votes.get(ballot.value, 0) + weight
    # Of equals the first stays, which is that of the lowest service id.
    value = max(votes, key=lambda one: votes[one])
    winner = next(ballot for ballot in ballots if ballot.value == value)
    others = [ballot for ballot in ballots if ballot.value != value]
    if not others:
        return Outcome(value=value, sign=winner.sign)
    sentence = (
        f"its instances disagree: what {quoted(winner.voice.lowest[0])} says counts, as more passing ones "
        f"say it or its id is the lowest, and what {quoted(others[0].voice.lowest[0])} says does not; "
        "register them all alike"
    )
    problem = Problem(
        code=Code.WORD_CONFLICT, source=f"service {quoted(service)} {winner.sign}", sentence=sentence
    )
    return Outcome(value=value, sign=winner.sign, problems=(problem,))
