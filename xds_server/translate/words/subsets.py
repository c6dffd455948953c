"""Subsets and canaries: which instances they are, as filter expressions of Consul."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Final

from xds_server.model.problem import Code, Problem
from xds_server.translate.words.said import Said
from xds_server.translate.words.schema import CANARY, SUBSET
from xds_server.translate.words.values import quoted

MOST_SUBSETS: Final = 16  # each of them is a cluster


def subset_of(said: Said) -> str:
    """Give the subset of the instances that say this: canaries are one of their own; empty for none."""
    if SUBSET in said.words:
        return str(said.words[SUBSET].value)
    return CANARY if _is_canary(said) else ""


def parts(
    service: str, every: Sequence[Said]
) -> tuple[tuple[tuple[str, str], ...], str, tuple[Problem, ...]]:
    """Give the subsets with their filters, the filter of the canaries, and what could not be taken."""
    named = {said.words[SUBSET].value for said in every if SUBSET in said.words}
    filters = {name: _filter(SUBSET, name, every) for name in sorted(named)}
    canary = _filter(CANARY, True, every)
    if canary:
        own = filters.get(CANARY)
        filters[CANARY] = f"{own} or {canary}" if own else canary
    kept = tuple(sorted(filters.items()))[:MOST_SUBSETS]
    return kept, canary, tuple(_too_many(service, filters.keys() - dict(kept)))


def _is_canary(said: Said) -> bool:
    return CANARY in said.words and said.words[CANARY].value is True


def _filter(word: str, value: Hashable, every: Iterable[Said]) -> str:
    """Give the filter of the instances that say `value`, or nothing if none does.

    A registration that says it in a piece that another one overrules is none of them.
    """
    stated = [said.words[word] for said in every if word in said.words]
    signs = sorted({one.sign for one in stated if one.value == value})
    conditions = []
    for sign in signs:
        stronger = {one.sign for one in stated if one.value != value and sign in one.overruled}
        excluded = "".join(f" and not ({other.condition})" for other in sorted(stronger))
        conditions.append(f"({sign.condition}{excluded})" if excluded else sign.condition)
    return " or ".join(conditions)


def _too_many(service: str, names: Iterable[str]) -> Iterable[Problem]:
    for name in sorted(names):
        sentence = f"subset {quoted(name)} is one more than {MOST_SUBSETS}; it is left out with its routes"
        yield Problem(code=Code.WORD_INVALID, source=f"service {quoted(service)}", sentence=sentence)
