"""What clients say they have as their streams begin, each mapping once for all who say the same."""

from collections.abc import Mapping
from typing import Final
from weakref import WeakValueDictionary


class _Claims(dict[str, str]):
    """Versions by name, which nobody changes."""

    __slots__ = ("__weakref__",)


_POOL: Final[WeakValueDictionary[int, _Claims]] = WeakValueDictionary()
"""The mappings that somebody holds, by the hash of what is in them."""


def shared_claims(claims: Mapping[str, str]) -> Mapping[str, str]:
    """Give the one mapping of these versions."""
    made = _Claims(claims)
    number = hash(frozenset(made.items()))
    known = _POOL.get(number)
    if known is not None and known == made:
        return known
    _POOL[number] = made
    return made
