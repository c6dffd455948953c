"""docs/reference/bad-inputs.md and the tests tell of the same 139 cases."""

import re
from pathlib import Path

import pytest

from tests.bad_inputs.counting import CASES
from tests.rig.marks import marked

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "bad-inputs.md"
MARKED = marked("case")


def told() -> dict[str, set[str]]:
    """Give the tests that each row names, by its number."""
    rows = [line.strip("|").split("|") for line in PAGE.read_text().splitlines()]
    return {
        row[0].strip(): set(re.findall(r"`(test_\w+)`", row[-1])) for row in rows if row[0].strip().isdigit()
    }


def test_every_case_has_a_row_in_order():
    assert list(told()) == [str(number) for number in CASES]


def test_every_row_names_tests_that_show_it():
    without = [
        number for number, tests in told().items() if not tests or not tests <= MARKED.get(number, set())
    ]

    assert without == []


@pytest.mark.parametrize("page", ["docs/threat-model.md", "SECURITY.md"])
def test_every_test_that_a_promise_names_is_there(page):
    written = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", (ROOT / page).read_text()))

    assert sorted(name for name in named if not re.search(rf"def {name}\b", written)) == []


@pytest.mark.parametrize("page", ["docs/threat-model.md", "SECURITY.md"])
def test_links_of_a_promise_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (ROOT / page).read_text())

    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_every_number_a_test_is_marked_with_is_a_case():
    assert sorted(MARKED.keys() - told().keys()) == []
