"""The pieces of a registration that say something, and the instances that say the very same."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from xds_server.model.catalog import Instance, Service
from xds_server.model.policy import Dialect
from xds_server.translate.words import fabio, traefik
from xds_server.translate.words.entries import is_own
from xds_server.translate.words.said import Pieces, Sign
from xds_server.translate.words.schema import META_PREFIX, TAG_PREFIX

MOST_VOICES: Final = 64
"""How many different registrations of one service are read: reading a new one takes time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """Instances whose registrations say the same.

    `passing` counts those with no check that is not passing, `count` all of them; `lowest` is the lowest
    service id and its node; `created` the lowest CreateIndex, 0 where nobody says. With `cut` one of them
    said more than is known.
    """

    pieces: Pieces
    passing: int
    count: int
    lowest: tuple[str, str]
    created: int
    cut: bool


_PREFIXES: Final = {Dialect.FABIO: fabio.PREFIX, Dialect.TRAEFIK: traefik.PREFIX}


def is_silent(service: Service, dialects: frozenset[Dialect]) -> bool:
    """Tell quickly whether no instance says anything, as is so for most services."""
    # Instances of a service mostly say the same: each way of saying it is looked at once.
    if any(
        key[: len(META_PREFIX)].lower() == META_PREFIX
        for meta in {one.meta for one in service.instances}
        for key, _ in meta
    ):
        return False
    prefixes = (TAG_PREFIX, *(_PREFIXES[dialect] for dialect in dialects))
    return not any(
        tag.lower().startswith(prefixes) for tags in {one.tags for one in service.instances} for tag in tags
    )


def voices(service: Service, dialects: frozenset[Dialect]) -> tuple[Voice, ...]:
    """Give what there is to be read of a service, by the lowest service id."""
    by_pieces: defaultdict[Pieces, list[Instance]] = defaultdict(list)
    for instance in service.instances:
        by_pieces[_pieces(instance, dialects)].append(instance)
    return tuple(
        sorted((_voice(pieces, ones) for pieces, ones in by_pieces.items()), key=lambda voice: voice.lowest)
    )


def _pieces(instance: Instance, dialects: frozenset[Dialect]) -> Pieces:
    meta = (Sign(key=key, text=text) for key, text in sorted(instance.meta))
    tags = (Sign(key="", text=tag) for tag in sorted(instance.tags))
    return (
        *(piece for piece in meta if is_own(piece)),
        *(found for piece in tags if (found := _tag(piece, instance, dialects))),
    )


def _tag(piece: Sign, instance: Instance, dialects: frozenset[Dialect]) -> Sign | None:
    """Give a tag that is for us or for a dialect, else None."""
    if is_own(piece) or (Dialect.FABIO in dialects and fabio.is_its(piece.text)):
        return piece
    if Dialect.TRAEFIK in dialects and traefik.is_its(piece.text):
        return Sign(key="", text=traefik.without_own_port(piece.text, instance.port))
    return None


def _voice(pieces: Pieces, instances: list[Instance]) -> Voice:
    return Voice(
        pieces=pieces,
        passing=sum(one.is_passing for one in instances),
        count=len(instances),
        lowest=min((one.id, one.node) for one in instances),
        created=min((one.created for one in instances if one.created), default=0),
        cut=any(one.cut for one in instances),
    )
