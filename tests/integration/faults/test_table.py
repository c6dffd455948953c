"""docs/reference/faults.md and the tests tell of the same faults."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "faults.md"


def told():
    """Give the tests of each row, by its number."""
    rows = [line.strip("|").split("|") for line in PAGE.read_text().splitlines() if line.startswith("| F")]
    return {
        int(row[0].strip()[1:]): set(re.findall(r"`(test_\w+)`", row[-1]))
        for row in rows
        if row[0] != " Fault "
    }


def written():
    """Give the tests by the number in their names."""
    found: dict[int, set[str]] = {}
    for path in Path(__file__).parent.glob("test_f*.py"):
        for name, number in re.findall(r"^async def (test_f(\d\d)_\w+)", path.read_text(), re.MULTILINE):
            found.setdefault(int(number), set()).add(name)
    return found


def test_every_fault_has_a_row_with_its_tests():
    assert told() == written()
    assert list(told()) == sorted(told())
