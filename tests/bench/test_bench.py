"""The frame of the benchmark, and one workload from end to end with few streams."""

import json

from bench.figures import Figure, Result, percentile, ratios
from bench.run import Run
from bench.table import grids, markdown, told
from bench.workloads import MODULES, fan_out, workload


def figure(who, *values, what="CPU", **case):
    return Figure(case=case, who=who, what=what, unit="ms", values=values)


def test_the_ratio_is_that_of_the_medians():
    assert ratios([figure("linear", 2.0, 9.0, 4.0), figure("xds-server", 8.0)]) == {"linear": 2.0}


def test_there_is_no_ratio_without_ours_or_to_nothing():
    assert ratios([figure("linear", 2.0)]) == {}
    assert ratios([figure("linear", 0.0), figure("xds-server", 8.0)]) == {}


def test_a_percentile_is_a_value_that_was_measured():
    values = [float(number) for number in range(1, 101)]

    assert percentile(values, 0.99) == 99.0
    assert percentile([7.0], 0.99) == 7.0


def test_trials_of_one_quantity_are_one_figure():
    result = Result(workload="W1", title="t")

    result.add({"streams": 1}, "bare", "CPU", "ms", 1.0)
    result.add({"streams": 2}, "bare", "CPU", "ms", 5.0)
    result.add({"streams": 1}, "bare", "CPU", "ms", 3.0)

    assert [one.values for one in result.figures] == [(1.0, 3.0), (5.0,)]
    assert result.figures[0].median == 2.0


def test_a_table_has_a_row_for_each_case_and_our_ratios():
    figures = [figure("bare", 1.0, streams=1), figure("xds-server", 1.0, 3.0, 2.0, streams=1)]
    figures.append(figure("xds-server", 5.0, streams=2))

    ((what, rows),) = grids(figures)

    assert what == "CPU (ms)"
    assert rows[0] == ["streams", "xds-server", "bare", "ours / bare"]
    assert rows[1] == ["1", "2 (1 to 3)", "1", "2.00"]
    assert rows[2] == ["2", "5", "", ""]


def test_a_result_comes_back_from_its_file():
    result = Result(workload="W1", title="t", notes=["n"], failed="why")
    result.add({"streams": 1}, "bare", "CPU", "ms", 1.0, 2.0)

    again = Result.from_json(json.loads(json.dumps(result.to_json())))

    assert again == result
    assert "FAILED: why" in told(again)
    assert "| 1 | 1.5 (1 to 2) |" in markdown(again)


def test_every_workload_says_what_it_measures():
    for name in MODULES:
        title, run = workload(name)
        assert title.endswith("."), name
        assert callable(run), name


async def test_fan_out_end_to_end(tmp_path):
    result = Result(workload="W1", title="t")
    run = Run(directory=tmp_path, result=result, only=("none",), python=True, results=tmp_path)
    case = fan_out.Case(state="tiny", services=2, instances=2, streams=3, variant="delta", turns=1)

    await fan_out.measure(run, case, seconds=0.0)

    figures = {one.what: one for one in result.figures}
    assert figures["CPU per push and ACK"].median > 0
    assert figures["bytes to each stream"].median > 50
    assert all(value > 0 for value in figures["change to last ACK"].values)
    assert not result.failed
    run.save()
    assert Result.from_json(json.loads((tmp_path / "W1.json").read_text())).figures == result.figures
