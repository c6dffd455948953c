"""Long pure work in steps, so that its owner can let others run in between."""

from collections.abc import Generator
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Steps: TypeAlias = Generator[None, None, T]
"""Work that yields between its steps, none of which takes long, and returns what comes of it."""


def finish(steps: Steps[T]) -> T:
    """Do all steps at once; give what comes of them."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            value: T = done.value
            return value
