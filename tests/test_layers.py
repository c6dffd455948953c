"""The house rules that lint-imports does not know (it runs beside these tests in `make test`)."""

import ast
from pathlib import Path

import pytest

import xds_server

PACKAGE = Path(xds_server.__file__).parent
MOST_LINES = 450
SOURCES = sorted(PACKAGE.rglob("*.py"))


def of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize(
    "folder",
    [path for path in (PACKAGE, *sorted(PACKAGE.iterdir())) if path.is_dir() and any(path.glob("*.py"))],
    ids=of,
)
def test_a_folder_tells_what_it_is_for(folder: Path) -> None:
    assert (folder / "__init__.py").is_file()
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))


@pytest.mark.parametrize("source", SOURCES, ids=of)
def test_a_file_can_be_read_in_one_sitting(source: Path) -> None:
    assert len(source.read_text().splitlines()) < MOST_LINES
