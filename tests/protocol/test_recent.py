"""What is kept for the next stream: the newest, and no more than there is room for."""

from xds_server.protocol.recent import MOST, Recent


def kept(*sizes: int, room: int = 10) -> tuple[int, ...]:
    recent = Recent[int](room)
    for number, size in enumerate(sizes):
        recent.put((number,), number, size)
    return recent.values()


def test_the_oldest_make_room_for_what_is_new() -> None:
    assert kept(4, 4, 2) == (2, 1, 0)
    assert kept(4, 4, 3) == (2, 1)


def test_the_newest_stays_however_large_it_is() -> None:
    assert kept(4, 100) == (1,)
    assert kept(100, 4) == (1,)


def test_small_ones_are_bounded_in_number() -> None:
    assert kept(*[0] * (MOST + 1)) == tuple(range(MOST, 0, -1))


def test_what_is_put_again_is_the_newest_and_counts_once() -> None:
    recent = Recent[str](10)
    recent.put(("a",), "old", 6)
    recent.put(("b",), "other", 4)
    recent.put(("a",), "new", 6)
    assert recent.get(("a",)) == "new"
    assert recent.values() == ("new", "other")
