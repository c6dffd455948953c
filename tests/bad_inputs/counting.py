"""A pytest plugin that tells how many cases of docs/reference/bad-inputs.md were shown in a run."""

import pytest

CASES = range(1, 140)
_KEY = "case"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each report carry the numbers of its test, so that they reach whoever writes the summary."""
    for item in items:
        for mark in item.iter_markers(_KEY):
            item.user_properties.extend((_KEY, number) for number in mark.args)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many of the cases passed; one passed if all its tests that ran did."""
    passed, failed = (_numbers(terminalreporter, *kinds) for kinds in (("passed",), ("failed", "error")))
    if passed | failed:
        shown = len(passed - failed)
        terminalreporter.write_line(f"bad input: {shown} of {len(CASES)} cases shown, {len(failed)} failed")


def _numbers(reporter: pytest.TerminalReporter, *kinds: str) -> set[object]:
    reports = [report for kind in kinds for report in reporter.stats.get(kind, ())]
    return {
        number for report in reports for key, number in getattr(report, "user_properties", ()) if key == _KEY
    }
