"""Writes the figures of docs/performance.md anew: `python -m bench.report` (`make bench-report`).

Reads bench/results/*.json, draws the plots into docs/performance/, and puts tables and plots between the
marks `<!-- W1 -->` and `<!-- /W1 -->` of the page. The same results give the same files, byte for byte.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

from bench.figures import Figure, Result
from bench.table import markdown

mpl.use("svg")
from matplotlib import pyplot as plt

_ROOT: Final = Path(__file__).parents[1]
_RESULTS: Final = _ROOT / "bench" / "results"
_PAGE: Final = _ROOT / "docs" / "performance.md"
_PLOTS: Final = _ROOT / "docs" / "performance"

_WIDE: Final = 20
"""From this many times the least on, heights are logarithmic."""

_COLOURS: Final = {
    "xds-server": "#0b6e4f",
    "linear": "#3a6ea5",
    "snapshot": "#c8553d",
    "bare": "#8a8a8a",
    "real Envoys": "#7b4b94",
    "load streams": "#8a8a8a",
}
"""One server has one colour in all plots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One quantity of a workload over one word of its cases, where the others are as `fixed` says.

    Numbers on the axis make curves on logarithmic scales, words make bars.
    """

    workload: str
    what: str
    over: str
    fixed: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The name of its file."""
        words = [self.workload, self.what, "over", self.over, *map(str, self.fixed.values())]
        return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-") + ".svg"

    def chosen(self, result: Result) -> list[Figure]:
        """Choose its figures."""
        return [
            figure
            for figure in result.figures
            if figure.what == self.what
            and self.over in figure.case
            and all(figure.case.get(key) == value for key, value in self.fixed.items())
        ]


PLOTS: Final = (
    Plot(
        workload="W1", what="CPU per push and ACK", over="state", fixed={"variant": "delta", "streams": 1_000}
    ),
    Plot(
        workload="W1", what="CPU per push and ACK", over="state", fixed={"variant": "delta", "streams": 200}
    ),
    Plot(
        workload="W1",
        what="CPU per push and ACK",
        over="streams",
        fixed={"variant": "delta", "state": "1 kB"},
    ),
    Plot(
        workload="W1", what="change to last ACK", over="streams", fixed={"variant": "delta", "state": "1 kB"}
    ),
    Plot(workload="W2", what="CPU of the server", over="changes a second", fixed={"variant": "delta"}),
    Plot(workload="W3", what="CPU to the first snapshot", over="services"),
    Plot(workload="W3", what="CPU to serve", over="services"),
    Plot(workload="W4", what="CPU of a change", over="services", fixed={"variant": "delta"}),
    Plot(workload="W4", what="bytes of a service more", over="services", fixed={"variant": "delta"}),
    Plot(workload="W5", what="last stream ready", over="variant", fixed={"streams": 1_000}),
    Plot(workload="W5", what="CPU for a stream", over="variant", fixed={"streams": 1_000}),
    Plot(workload="W6", what="CPU of a change", over="groups"),
    Plot(workload="W6", what="CPU to serve", over="groups"),
    Plot(workload="W7", what="beyond Consul", over="variant"),
    Plot(workload="W8", what="memory of an idle stream", over="streams"),
    Plot(workload="W8", what="memory of an endpoint", over="holds", fixed={"services": 1_000}),
)


def draw(plot: Plot, result: Result, directory: Path) -> Path | None:
    """Draw a plot; None where the result has no figures for it."""
    figures = plot.chosen(result)
    if not figures:
        return None
    directory.mkdir(parents=True, exist_ok=True)
    # Text stays text, and nothing in the file depends on when or where it was drawn.
    settings = {"svg.fonttype": "none", "svg.hashsalt": "xds-server", "font.size": 9}
    with mpl.rc_context(settings):
        drawing, axes = plt.subplots(figsize=(5.2, 2.8), layout="constrained")
        xs = list(dict.fromkeys(figure.case[plot.over] for figure in figures))
        curves = all(isinstance(x, int | float) for x in xs) and len(xs) > 1
        (_curves if curves else _bars)(axes, plot, figures, xs)
        fixed = ", ".join(
            f"{value} {key}" if isinstance(value, int) else value for key, value in plot.fixed.items()
        )
        axes.set_title(plot.what + (f" ({fixed})" if fixed else ""), fontsize=9)
        axes.set_xlabel(plot.over)
        axes.set_ylabel(figures[0].unit)
        axes.legend(fontsize=8, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        file = directory / plot.file
        drawing.savefig(file, metadata={"Date": None, "Creator": None})
        plt.close(drawing)
    return file


def _by_server(figures: Sequence[Figure]) -> Iterator[tuple[str, list[Figure]]]:
    for who in dict.fromkeys(figure.who for figure in figures):
        yield who, [figure for figure in figures if figure.who == who]


def _errors(figures: Sequence[Figure]) -> list[list[float]]:
    """Give how far the least and the most of the trials are from the median."""
    return [[one.median - one.low for one in figures], [one.high - one.median for one in figures]]


def _curves(axes: Any, plot: Plot, figures: Sequence[Figure], _: Sequence[Any]) -> None:
    for who, found in _by_server(figures):
        ordered = sorted(found, key=lambda figure: figure.case[plot.over])
        xs, ys = [one.case[plot.over] for one in ordered], [one.median for one in ordered]
        style = {"marker": "o", "capsize": 3, "label": who, "color": _COLOURS.get(who)}
        axes.errorbar(xs, ys, yerr=_errors(ordered), **style)
    axes.set_xscale("log")
    ticks = sorted({figure.case[plot.over] for figure in figures})
    axes.set_xticks(ticks, [f"{x:,}" for x in ticks])
    axes.set_xticks([], minor=True)
    _logarithmic(axes, figures)


def _bars(axes: Any, plot: Plot, figures: Sequence[Figure], xs: Sequence[Any]) -> None:
    servers = list(_by_server(figures))
    width = 0.8 / len(servers)
    for place, (who, found) in enumerate(servers):
        at = [xs.index(one.case[plot.over]) + place * width - 0.4 + width / 2 for one in found]
        heights = [one.median for one in found]
        axes.bar(at, heights, width, yerr=_errors(found), label=who, color=_COLOURS.get(who), capsize=2)
    axes.set_xticks(range(len(xs)), [str(x) for x in xs])
    found = [figure.median for figure in figures if figure.median > 0]
    if found and max(found) > _WIDE * min(found):
        _logarithmic(axes, figures)


def _logarithmic(axes: Any, figures: Sequence[Figure]) -> None:
    """Let the height be logarithmic, with plain numbers; nothing where something is 0."""
    medians = [figure.median for figure in figures]
    if min(medians) > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}" if max(medians) < _WIDE * min(medians) else "")
        axes.tick_params(axis="y", which="minor", labelsize=7)


def section(result: Result, directory: Path) -> str:
    """Give what stands between the marks of a workload: when and where, tables, plots."""
    machine = result.machine
    versions = ", ".join(
        f"{name} {version}" for name, version in machine.get("versions", {}).items() if version
    )
    run = "the long run" if machine.get("full") else "the quick run"
    where = (
        f"{machine.get('processors')} processors ({machine.get('processor')}), kernel {machine.get('kernel')}"
    )
    lines = [
        f"Measured {machine.get('at')} UTC, {run}: {where}; {versions}; load {machine.get('load_average')}."
    ]
    lines += [markdown(result)] if result.figures else []
    lines += [f"- {note}" for note in result.notes]
    lines += [f"FAILED: {result.failed}"] if result.failed else []
    drawn = [draw(plot, result, directory) for plot in PLOTS if plot.workload == result.workload]
    lines += [f"![{file.stem}]({directory.name}/{file.name})" for file in drawn if file is not None]
    return "\n\n".join(lines)


def written(page: str, results: Sequence[Result], directory: Path) -> str:
    """Give the page with the sections of these results in it."""
    for result in results:
        name = result.workload
        marks = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)", re.DOTALL)
        fresh = section(result, directory)
        page = marks.sub(lambda found, fresh=fresh: f"{found[1]}\n{fresh}\n{found[2]}", page)
    return page


def main() -> None:
    """Write page and plots anew."""
    results = [Result.from_json(json.loads(file.read_text())) for file in sorted(_RESULTS.glob("W*.json"))]
    _PAGE.write_text(written(_PAGE.read_text(), results, _PLOTS))
    print(f"{_PAGE.relative_to(_ROOT)}: {', '.join(result.workload for result in results) or 'no results'}")


if __name__ == "__main__":
    main()
