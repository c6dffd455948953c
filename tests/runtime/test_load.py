import pytest
from envoy.config.core.v3.base_pb2 import Locality
from envoy.config.endpoint.v3.load_report_pb2 import ClusterStats, UpstreamLocalityStats
from google.protobuf.duration_pb2 import Duration

from xds_server.runtime.load import Counts, LoadLimits, Loads, LoadView
from xds_server.runtime.load_report import Place

MOST = 2**53 - 1


def part(zone: str = "", *, issued: int = 0, good: int = 0, bad: int = 0, now: int = 0, **more: int):
    return UpstreamLocalityStats(
        locality=Locality(region="r", zone=zone) if zone else None,
        total_issued_requests=issued,
        total_successful_requests=good,
        total_error_requests=bad,
        total_requests_in_progress=now,
        **more,
    )


def stats(cluster: str, *parts: UpstreamLocalityStats, dropped: int = 0, seconds: int = 10) -> ClusterStats:
    return ClusterStats(
        cluster_name=cluster,
        cluster_service_name=f"{cluster}-eds",
        upstream_locality_stats=parts,
        total_dropped_requests=dropped,
        load_report_interval=Duration(seconds=seconds),
    )


def totals(view: LoadView) -> dict[str, int]:
    """Give how many requests were sent, by client, cluster and zone."""
    return {
        f"{row.client} {row.place.cluster} {row.place.zone}".strip(): row.total.issued for row in view.rows
    }


@pytest.mark.shows("P-121")
def test_reports_are_added_up_by_client_cluster_and_locality():
    loads = Loads()
    one, other = loads.reporter("edge-1"), loads.reporter("edge-2")

    one.report([stats("user", part("a", issued=5), part("b", issued=3)), stats("web", part(issued=1))], 100)
    other.report([stats("user", part("a", issued=7))], 101)
    one.report([stats("user", part("a", issued=20))], 110)

    assert totals(loads.view(110)) == {
        "edge-1 user a": 25,
        "edge-1 user b": 3,
        "edge-1 web": 1,
        "edge-2 user a": 7,
    }


def test_a_row_tells_everything_that_was_reported():
    loads = Loads()
    reporter = loads.reporter("edge-1")
    reporter.report([stats("user", part("a", issued=5, good=3, bad=1, now=1))], 100.5)
    reporter.report([stats("user", part("a", issued=20, good=10, bad=2, now=9), seconds=5)], 105.5)

    (row,) = loads.view(106).rows

    assert row.client == "edge-1"
    assert row.place == Place(cluster="user", service="user-eds", region="r", zone="a")
    assert row.total == Counts(issued=25, successful=13, error=3)
    assert row.latest == Counts(issued=20, successful=10, error=2)
    assert (row.in_progress, row.seconds, row.rate) == (9, 5, 4.0)
    assert (row.since, row.at) == (100.5, 105.5)


def test_what_was_dropped_counts_for_the_cluster():
    loads = Loads()
    loads.reporter("edge-1").report([stats("user", part("a", issued=1), dropped=4)], 100)

    whole, zone = loads.view(100).rows

    assert (whole.place.zone, whole.total) == ("", Counts(dropped=4))
    assert (zone.place.zone, zone.total) == ("a", Counts(issued=1))


def test_a_locality_in_two_priorities_is_one_row():
    loads = Loads()
    parts = (part("a", issued=1, now=1), part("a", issued=2, now=3, priority=1))
    loads.reporter("edge-1").report([stats("user", *parts)], 100)

    (row,) = loads.view(100).rows

    assert (row.total.issued, row.in_progress) == (3, 4)


def test_where_nothing_was_sent_there_is_no_row():
    loads = Loads()
    loads.reporter("edge-1").report([stats("user", part("a")), stats("web"), ClusterStats()], 100)

    assert loads.view(100) == LoadView()


def test_requests_that_only_wait_make_a_row():
    loads = Loads()
    loads.reporter("edge-1").report([stats("user", part("a", now=2))], 100)

    (row,) = loads.view(100).rows

    assert (row.in_progress, row.total) == (2, Counts())


def test_a_place_a_report_does_not_speak_of_is_calm():
    loads = Loads()
    reporter = loads.reporter("edge-1")
    reporter.report([stats("user", part("a", issued=5, now=2))], 100)
    reporter.report([stats("web", part("a", issued=1))], 110)

    user = loads.view(110).rows[0]

    assert (user.total.issued, user.latest, user.rate, user.in_progress, user.at) == (5, Counts(), 0, 0, 110)


def test_two_streams_of_a_node_do_not_calm_each_other():
    loads = Loads()
    one, other = loads.reporter("client"), loads.reporter("client")
    one.report([stats("user", part("a", issued=5, now=2))], 100)
    other.report([stats("web", part("a", issued=1))], 101)

    user = loads.view(101).rows[0]

    assert (user.rate, user.in_progress) == (0.5, 2)


def test_at_the_end_of_a_stream_nothing_is_in_progress_and_the_totals_stay():
    loads = Loads()
    reporter = loads.reporter("edge-1")
    reporter.report([stats("user", part("a", issued=5, now=2))], 100)
    reporter.end(105)

    (row,) = loads.view(105).rows

    assert (row.total.issued, row.rate, row.in_progress) == (5, 0, 0)


def test_who_comes_back_in_time_goes_on_counting():
    loads = Loads(LoadLimits(kept=60))
    first = loads.reporter("edge-1")
    first.report([stats("user", part("a", issued=5))], 100)
    first.end(100)
    loads.reporter("edge-1").report([stats("user", part("a", issued=1))], 160)

    assert totals(loads.view(160)) == {"edge-1 user a": 6}


def test_figures_of_who_is_gone_are_kept_for_a_while_only():
    loads = Loads(LoadLimits(kept=60))
    loads.reporter("edge-1").report([stats("user", part("a", issued=5))], 100)
    loads.reporter("edge-2").report([stats("user", part("a", issued=7))], 150)

    assert len(loads.view(160).rows) == 2
    assert totals(loads.view(161)) == {"edge-2 user a": 7}


def test_who_reports_that_nothing_happens_is_not_gone():
    loads = Loads(LoadLimits(kept=60))
    reporter = loads.reporter("edge-1")
    reporter.report([stats("user", part("a", issued=5))], 100)
    reporter.report([], 150)

    assert totals(loads.view(200)) == {"edge-1 user a": 5}


@pytest.mark.shows("P-117")
def test_hostile_numbers_do_no_harm():
    loads = Loads()
    reporter = loads.reporter("edge-1")
    most = 2**64 - 1
    huge = stats("user", part("a", issued=most, good=most, bad=most, now=most), dropped=most)
    for interval in (
        Duration(seconds=-(2**62), nanos=-1),
        Duration(seconds=2**62, nanos=2**31 - 1),
        Duration(),
    ):
        huge.load_report_interval.CopyFrom(interval)
        reporter.report([huge, huge], 100)

    whole, zone = loads.view(100).rows

    assert zone.total == Counts(issued=MOST, successful=MOST, error=MOST)
    assert whole.total == Counts(dropped=MOST)
    assert (zone.in_progress, zone.rate) == (MOST, 0)
    assert zone.seconds == 0


@pytest.mark.shows("P-117")
def test_rows_of_one_client_and_of_all_are_bounded_and_what_is_left_out_is_counted():
    loads = Loads(LoadLimits(rows=5, rows_of_a_client=3))
    for client in ("one", "two", "three"):
        reporter = loads.reporter(client)
        for _ in range(2):
            reporter.report([stats(f"c{n}", part("a", issued=1)) for n in range(4)], 100)

    view = loads.view(100)

    assert [(row.client, row.place.cluster) for row in view.rows] == [
        *(("one", f"c{n}") for n in range(3)),
        *(("two", f"c{n}") for n in range(2)),
    ]
    assert {row.total.issued for row in view.rows} == {2}
    assert view.left_out == 2 * (1 + 2 + 4)


def test_who_is_gone_makes_room():
    loads = Loads(LoadLimits(rows=1, kept=60))
    loads.reporter("old").report([stats("user", part("a", issued=1))], 100)
    loads.reporter("new").report([stats("user", part("a", issued=1))], 161)

    assert totals(loads.view(161)) == {"new user a": 1}


@pytest.mark.shows("P-117")
def test_texts_that_are_too_long_are_left_out():
    loads = Loads(LoadLimits(text=10))
    loads.reporter("edge-1").report(
        [stats("c" * 11, part("a", issued=1)), stats("user", part("z" * 11, issued=1))], 100
    )

    assert (loads.view(100).rows, loads.view(100).left_out) == ((), 2)


def test_a_view_does_not_change():
    loads = Loads()
    reporter = loads.reporter("edge-1")
    reporter.report([stats("user", part("a", issued=1))], 100)
    view = loads.view(100)
    reporter.report([stats("user", part("a", issued=1))], 110)

    assert totals(view) == {"edge-1 user a": 1}
