"""IPv4 addresses as Envoy reads them: four numbers without a zero in front, and nothing else.

Nearly every address of a catalog is one, and is asked about for each endpoint; to make an object of
`ipaddress` for each was a fifth of a start.
"""

from typing import Final

_OCTETS: Final = {str(number): number for number in range(256)}
_ENCODED: Final = frozenset(map(str.encode, _OCTETS))
_COUNT: Final = 4


def number_of(text: str) -> int | None:
    """Give an address as a number of 32 bits, or None for whatever else."""
    try:
        one, two, three, four = text.split(".")
        return _OCTETS[one] << 24 | _OCTETS[two] << 16 | _OCTETS[three] << 8 | _OCTETS[four]
    except (KeyError, ValueError):
        return None


def is_one(encoded: bytes) -> bool:
    """Tell whether a text, encoded, is such an address."""
    parts = encoded.split(b".")
    return len(parts) == _COUNT and _ENCODED.issuperset(parts)
