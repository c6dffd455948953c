"""Durations as Go programs write them into JSON."""

import pytest

from xds_server.reading import parse_go_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("15s", 15),
        ("1h0m0s", 3600),
        ("1m30.5s", 90.5),
        ("250ms", 0.25),
        ("100\N{MICRO SIGN}s", 0.0001),
        ("100us", 0.0001),
        ("7ns", 7e-9),
        ("-1s", -1),
        ("0s", 0),
        ("0", 0),
        ("", 0),
        (22_000_000_000, 22),
        (0, 0),
    ],
)
def test_what_go_writes_is_read(written, seconds):
    assert parse_go_duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written", ["15", "s", "1 s", "1s ", "1d", "--1s", "1e3s", "٣s", "9" * 400 + "s", "1s\n"]
)
def test_nothing_else_is_a_duration(written):
    assert parse_go_duration(written) is None
