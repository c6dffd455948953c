"""What was found, as sentences: a few of them, as a resource can be wrong in a million places."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from xds_server.snapshot.check.fields import Found
from xds_server.snapshot.check.rules import shown

_TOLD: Final = 5


def told(found: Found, *, hidden: bool = False) -> tuple[str, ...]:
    """Give a sentence for each thing that was found; with `hidden` none of them shows a value."""
    return tuple(
        f"{path} is {value}, {says}." if value and not hidden else f"{path}: {says}."
        for path, value, says in found
    )


def few(sentences: Iterable[str]) -> tuple[str, ...]:
    """Give the first sentences, and how many more there are."""
    every = tuple(sentences)
    if len(every) <= _TOLD:
        return every
    return (*every[:_TOLD], f"And {len(every) - _TOLD} more.")


def twice(what: str, names: Iterable[str]) -> Iterator[str]:
    """Say of each name that is there more than once that it is."""
    every = list(names)
    if len(set(every)) < len(every):
        yield from (f"{what} {shown(name)} is there twice." for name, n in Counter(every).items() if n > 1)
