"""Which tests are marked with which numbers, for the pages that list both."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

import pytest

TESTS = Path(__file__).parents[1]


def marked(word: str) -> dict[str, set[str]]:
    """Give the names of the tests marked `pytest.mark.<word>(number, ...)`, by number as text.

    A mark may stand on a test, on its file (`pytestmark`) or on one of its parameters.
    """
    found: dict[str, set[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        if f"mark.{word}(" in path.read_text():
            for name, number in _of_file(path, word):
                found.setdefault(number, set()).add(name)
    return found


def _of_file(path: Path, word: str) -> Iterator[tuple[str, str]]:
    module = importlib.import_module(".".join(path.relative_to(TESTS.parent).with_suffix("").parts))
    of_all = getattr(module, "pytestmark", [])
    everywhere = of_all if isinstance(of_all, list) else [of_all]
    for name, test in vars(module).items():
        if name.startswith("test_") and isinstance(test, FunctionType) and test.__module__ == module.__name__:
            for mark in (*everywhere, *getattr(test, "pytestmark", [])):
                yield from ((name, str(number)) for number in _numbers(mark, word))


def _numbers(mark: pytest.Mark | pytest.MarkDecorator, word: str) -> Iterator[object]:
    if mark.name == word:
        yield from mark.args
    if mark.name == "parametrize":
        for parameter in (*mark.args[1:2], *mark.kwargs.get("argvalues", ())):
            for one in parameter:
                for inner in getattr(one, "marks", ()):
                    yield from _numbers(inner, word)
