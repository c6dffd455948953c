"""The metrics of several processes are shown as those of one server."""

from xds_server import telemetry
from xds_server.app.workers.figures import Figures, Tally

STREAMS = ("xds_streams", (("variant", "delta"),))
NACKS = ("xds_nacks_total", (("type", "Cluster"),))
LAG = ("xds_loop_lag_seconds_bucket", (("le", "0.001"),))
WORST = ("xds_loop_lag_worst_seconds", ())
READY = ("xds_ready", ())
FAMILIES = {
    STREAMS: "xds_streams",
    NACKS: "xds_nacks",
    LAG: "xds_loop_lag_seconds",
    WORST: "xds_loop_lag_worst_seconds",
    READY: "xds_ready",
}


def news(**values):
    """Give what a worker tells; the names are those above."""
    keys = {name: globals()[name] for name in values}
    return [(FAMILIES[key], ((*key, values[name]),)) for name, key in keys.items()]


def shown(figures, key):
    for family in figures.collect():
        for sample in family.samples:
            if (sample.name, tuple(sample.labels.items())) == key:
                return sample.value
    return 0.0


def test_counts_and_streams_are_added_up_and_of_other_gauges_the_worst_or_our_own_is_told():
    keys = (STREAMS, NACKS, LAG, WORST, READY)
    figures = Figures()
    ours = {key: shown(figures, key) for key in keys}
    figures.take(1, news(STREAMS=3.0, NACKS=2.0, LAG=10.0, WORST=5000.0, READY=77.0))
    figures.take(2, news(STREAMS=4.0, NACKS=1.0, LAG=20.0, WORST=4000.0))
    figures.take(2, news(NACKS=5.0))

    assert [shown(figures, key) - ours[key] for key in (STREAMS, NACKS, LAG)] == [7.0, 7.0, 30.0]
    assert shown(figures, WORST) == 5000.0
    assert shown(figures, READY) == ours[READY]


def test_what_a_worker_that_is_gone_has_counted_stays_and_its_streams_do_not():
    figures = Figures()
    nacks, streams = shown(figures, NACKS), shown(figures, STREAMS)
    figures.take(1, news(STREAMS=3.0, NACKS=2.0))
    figures.forget(1)
    figures.take(1, news(NACKS=1.0))
    figures.forget(1)
    figures.forget(2)

    assert shown(figures, NACKS) - nacks == 3.0
    assert shown(figures, STREAMS) == streams


def test_every_family_and_every_sample_of_this_process_is_there():
    def all_of(registry):
        return {
            (family.name, family.type, sample.name, tuple(sample.labels.items()), sample.value)
            for family in registry.collect()
            for sample in family.samples
        }

    assert all_of(Figures()) == all_of(telemetry.REGISTRY)


def test_only_what_changed_is_told():
    tally = Tally()
    first = dict(tally.news())
    assert set(first) <= {family.name for family in telemetry.REGISTRY.collect()}
    telemetry.WORKERS.set(telemetry.WORKERS._value.get() + 1)

    assert [name for name, _ in tally.news()] == ["xds_workers"]
    assert tally.news() == ()
