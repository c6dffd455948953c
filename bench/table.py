"""Figures as tables: one for each quantity, a row for each case, a column for each server, and our ratios."""

from collections.abc import Iterable, Iterator, Sequence

from bench.figures import OURS, Figure, Result, ratios


def told(result: Result) -> str:
    """Give a result as plain text, for a terminal."""
    lines = [f"{result.workload}  {result.title}"]
    for what, rows in grids(result.figures):
        lines += ["", f"  {what}", *(f"    {line}" for line in _aligned(rows))]
    lines += ["", *(f"  {note}" for note in result.notes)] if result.notes else []
    lines += ["", f"  FAILED: {result.failed}"] if result.failed else []
    return "\n".join(lines)


def markdown(result: Result) -> str:
    """Give a result as Markdown tables, for docs."""
    parts = []
    for what, rows in grids(result.figures):
        head, *body = rows
        lines = [_row(head), _row(["---"] * len(head)), *map(_row, body)]
        parts.append(f"{what}:\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def grids(figures: Sequence[Figure]) -> Iterator[tuple[str, list[list[str]]]]:
    """Give, for each quantity, its name with the unit, and the cells of its table with the head first."""
    for what, unit in dict.fromkeys((figure.what, figure.unit) for figure in figures):
        found = [figure for figure in figures if (figure.what, figure.unit) == (what, unit)]
        who = _servers(found)
        peers = [name for name in who if name != OURS] if OURS in who else []
        keys = list(dict.fromkeys(key for figure in found for key in figure.case))
        rows = [[*keys, *who, *(f"ours / {name}" for name in peers)]]
        for case in _cases(found):
            of_case = [figure for figure in found if figure.case == case]
            cells = {figure.who: _cell(figure) for figure in of_case}
            shares = ratios(of_case)
            rows.append(
                [str(case.get(key, "")) for key in keys]
                + [cells.get(name, "") for name in who]
                + [f"{shares[name]:.2f}" if name in shares else "" for name in peers]
            )
        yield f"{what} ({unit})" if unit else what, rows


def number(value: float) -> str:
    """Write a number with three digits that count."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _cell(figure: Figure) -> str:
    if len(figure.values) == 1:
        return number(figure.median)
    return f"{number(figure.median)} ({number(figure.low)} to {number(figure.high)})"


def _servers(figures: Iterable[Figure]) -> list[str]:
    """Name the servers, ours first, the others in the order they were measured."""
    return sorted(dict.fromkeys(figure.who for figure in figures), key=lambda name: name != OURS)


def _cases(figures: Iterable[Figure]) -> list[dict[str, object]]:
    cases: list[dict[str, object]] = []
    for figure in figures:
        if figure.case not in cases:
            cases.append(figure.case)
    return cases


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
