"""From the registrations of a service's instances to what the service says as a whole."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from xds_server.model.catalog import Service
from xds_server.model.entries import Override
from xds_server.model.policy import Dialect
from xds_server.model.problem import Code, Problem
from xds_server.translate.words import fabio, own, subsets, traefik
from xds_server.translate.words.pieces import MOST_VOICES, Voice, is_silent, voices
from xds_server.translate.words.said import NOTHING, Asked, AskedRoute, Pieces, Said, Stated, Wish, Words
from xds_server.translate.words.schema import ENABLE, OWN_SUBSET, WORDS
from xds_server.translate.words.values import quoted
from xds_server.translate.words.vote import Ballot, Outcome, decide

_MOST_PIECES: Final = 128  # of one registration; Consul's Meta has 64 pairs, and 64 tags are read
_MOST_WISHES: Final = 64  # of one service
_MOST_PROBLEMS: Final = 50  # of one service; a last one counts the rest


@dataclass(frozen=True, slots=True)
class _Heard:
    """A voice, what it says, and the subset that it is of (empty for none)."""

    voice: Voice
    said: Said
    subset: str


def read(service: Service, dialects: frozenset[Dialect]) -> Words:
    """Give what a service says of itself in the Meta and tags of its instances.

    Meta goes over tags, and our own words over those of the `dialects`. Whatever cannot be understood or
    taken is a problem and nothing else.
    """
    if is_silent(service, dialects):
        return NOTHING
    found = voices(service, dialects)
    heard = [_heard(service.name, voice, dialects) for voice in found[:MOST_VOICES]]
    chosen, problems = _words(service.name, heard)
    wishes, contradictions = _wishes(service.name, heard) if _is_whole(found) else ((), [])
    parts, canary, too_many = subsets.parts(service.name, [one.said for one in heard])
    met = [problem for one in heard for problem in one.said.problems]
    met += [*problems, *contradictions, *too_many, *_unread(service.name, found)]
    known = {name for name, _ in parts}
    return Words(
        enabled=chosen[ENABLE].value if ENABLE in chosen else None,
        overrides=_overrides(service.name, chosen),
        wishes=tuple(wish for wish in wishes if not wish.subset or wish.subset in known),
        subsets=parts,
        canary=canary,
        problems=_capped(service.name, met),
    )


def _is_whole(found: Sequence[Voice]) -> bool:
    """Tell whether everything is read; what is not might restrict a route."""
    if len(found) > MOST_VOICES:
        return False
    return all(len(voice.pieces) <= _MOST_PIECES and not voice.cut for voice in found)


def _heard(service: str, voice: Voice, dialects: frozenset[Dialect]) -> _Heard:
    said = _said(service, voice.pieces, dialects)
    return _Heard(voice, said, subsets.subset_of(said))


def _said(service: str, pieces: Pieces, dialects: frozenset[Dialect]) -> Said:
    """Put together what our words and the dialects say; of two that say one thing the first counts."""
    if len(pieces) > _MOST_PIECES:
        sentence = (
            f"an instance says more than {_MOST_PIECES} things; it is not listened to, and the service gets "
            "no routes: register fewer"
        )
        return Said(problems=(_about(service, Code.WORD_INVALID, sentence),))
    parts = [own.read(service, pieces)]
    if Dialect.FABIO in dialects:
        parts.append(fabio.read(service, pieces))
    if Dialect.TRAEFIK in dialects:
        parts.append(traefik.read(service, pieces))
    words: dict[str, Stated] = {}
    asked: dict[str, AskedRoute] = {}
    for part in parts:
        for word, stated in part.words.items():
            words[word] = _over(words[word], stated) if word in words else stated
        asked = {**part.routes, **asked}
    return Said(
        words=words,
        routes=asked,
        closed=frozenset(name for part in parts for name in part.closed),
        problems=tuple(problem for part in parts for problem in part.problems),
    )


def _over(first: Stated, second: Stated) -> Stated:
    if first.value == second.value:
        return first
    return replace(first, overruled=(*first.overruled, second.sign))


def _words(service: str, heard: Sequence[_Heard]) -> tuple[dict[str, Outcome[Any]], list[Problem]]:
    """Decide each word that is about the whole service."""
    chosen: dict[str, Outcome[Any]] = {}
    for word in WORDS:
        ballots = [
            Ballot(voice=one.voice, value=one.said.words[word].value, sign=one.said.words[word].sign)
            for one in heard
            if word in one.said.words
        ]
        if ballots and word not in OWN_SUBSET:
            chosen[word] = decide(service, ballots)
    return chosen, [problem for outcome in chosen.values() for problem in outcome.problems]


def _overrides(service: str, chosen: Mapping[str, Outcome[Any]]) -> tuple[Override, ...]:
    return tuple(
        Override(
            field=WORDS[word].field, value=outcome.value, source=f"service {quoted(service)} {outcome.sign}"
        )
        for word, outcome in chosen.items()
        if WORDS[word].field
    )


def _wishes(service: str, heard: Sequence[_Heard]) -> tuple[tuple[Wish, ...], list[Problem]]:
    """Decide each route among the instances of one subset, and put together what several subsets wish.

    What is wished outside of every subset, or alike by more than one, leads to the whole service.
    """
    closed = {name for one in heard for name in one.said.closed}
    wished: dict[tuple[str, Asked], list[Wish]] = {}
    problems: list[Problem] = []
    for subset in sorted({one.subset for one in heard}):
        members = [one for one in heard if one.subset == subset]
        for name in sorted({name for one in members for name in one.said.routes} - closed):
            wishes, met = _wishes_of(service, name, members)
            problems.extend(met)
            for wish in wishes:
                wished.setdefault((name, wish.route), []).append(wish)
    found = tuple(_joined(wishes) for wishes in wished.values())
    if len(found) > _MOST_WISHES:
        sentence = f"asks for more than {_MOST_WISHES} routes; the last by name are left out"
        problems.append(_about(service, Code.WORD_INVALID, sentence))
    return tuple(sorted(found, key=lambda wish: (wish.name, wish.subset)))[:_MOST_WISHES], problems


def _wishes_of(
    service: str, name: str, members: Sequence[_Heard]
) -> tuple[tuple[Wish, ...], tuple[Problem, ...]]:
    """Decide on one route among the instances of one subset: all that belongs to it is decided together."""
    asking = [(one.voice, one.said.routes[name]) for one in members if name in one.said.routes]
    outcome = decide(
        service, [Ballot(voice=voice, value=asked.routes, sign=asked.sign) for voice, asked in asking]
    )
    created = [voice.created for voice, asked in asking if asked.routes == outcome.value and voice.created]
    wishes = tuple(
        Wish(
            name=name,
            route=route,
            subset=members[0].subset,
            source=f"service {quoted(service)} {outcome.sign}",
            created=min(created, default=0),
        )
        for route in outcome.value
    )
    return wishes, outcome.problems


def _joined(wishes: Sequence[Wish]) -> Wish:
    """Make one wish of those of several subsets for the same route."""
    if len(wishes) == 1:
        return wishes[0]
    created = min((wish.created for wish in wishes if wish.created), default=0)
    return replace(wishes[0], subset="", created=created)


def _unread(service: str, found: Sequence[Voice]) -> Iterator[Problem]:
    if len(found) > MOST_VOICES:
        sentence = (
            f"its instances say more than {MOST_VOICES} different things; those from "
            f"{quoted(found[MOST_VOICES].lowest[0])} on are not listened to, and it gets no routes: register "
            "them all alike"
        )
        yield _about(service, Code.WORD_CONFLICT, sentence)

    for voice in found:
        if voice.cut:
            sentence = (
                f"the registration of {quoted(voice.lowest[0])} has more tags or Meta than are read, and one "
                "of them might restrict a route, so the service gets no routes: register fewer, shorter ones"
            )
            yield _about(service, Code.WORD_INVALID, sentence)


def _capped(service: str, problems: Iterable[Problem]) -> tuple[Problem, ...]:
    each = tuple(sorted(set(problems)))
    if len(each) <= _MOST_PROBLEMS:
        return each
    sentence = f"{len(each) - _MOST_PROBLEMS} more problems with its words are not listed"
    return (*each[:_MOST_PROBLEMS], _about(service, Code.WORD_INVALID, sentence))


def _about(service: str, code: Code, sentence: str) -> Problem:
    return Problem(code=code, source=f"service {quoted(service)}", sentence=sentence)
