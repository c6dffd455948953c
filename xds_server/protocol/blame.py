"""Which resources of a rejected response its error text names.

A response is rejected as a whole, and Envoy applies nothing of it where one resource breaks a rule for
fields. What is not at fault has to go on, and what is must not be sent again.
"""

import re
from collections.abc import Collection
from typing import Final

# What names of resources are made of; whatever else is in a text separates words.
_WORD: Final = re.compile(r"[\w.:/@-]+")
_MOST_TEXT: Final = 64 * 1024


def named_by(text: str, suspects: Collection[str]) -> frozenset[str]:
    """Give the suspects whose names stand in an error text.

    The text is a hint and no more: it has no form that holds from one release to the next (P-031). Where it
    names nothing, or leads astray, what is at fault is found by halving.
    """
    words = {word.strip(".:/@-") for word in _WORD.findall(text[:_MOST_TEXT])}
    return frozenset(name for name in suspects if name in words)
