import itertools

from xds_server.consul.due import Due, Why


def due(*names: str) -> Due:
    known = Due()
    for at, name in enumerate(names):
        known.follow(name, at)
    return known


def test_the_most_urgent_goes_first_and_each_once() -> None:
    known = due("a", "b", "c", "d")
    known.put("a", Why.SWEPT, 10)
    known.put("b", Why.FIRST, 10)
    known.put("c", Why.FIRST, 10)
    known.put("d", Why.CHANGED, 10)
    known.put("c", Why.CHANGED, 10)
    known.put("c", Why.AGAIN, 10)
    taken = list(itertools.takewhile(bool, (known.take() for _ in range(9))))
    assert taken == [("d", Why.CHANGED), ("c", Why.CHANGED), ("b", Why.FIRST), ("a", Why.SWEPT)]


def test_what_changes_while_it_is_read_is_read_again_after_that() -> None:
    known = due("a")
    known.put("a", Why.FIRST, 1)
    assert known.take() == ("a", Why.FIRST)
    known.put("a", Why.CHANGED, 2)
    assert known.take() is None
    known.done("a")
    assert known.take() == ("a", Why.CHANGED)
    known.done("a")
    assert known.take() is None


def test_what_is_let_go_is_not_read() -> None:
    known = due("a", "b")
    known.put("a", Why.FIRST, 1)
    known.forget("a")
    known.put("a", Why.CHANGED, 1)
    assert known.take() is None
    assert known.names == {"b"}
    known.follow("a", 5)
    known.put("a", Why.SWEPT, 6)
    assert known.take() == ("a", Why.SWEPT)


def test_the_longest_unread_is_known() -> None:
    known = due("a", "b", "c")
    assert known.longest == ("a", 0)
    known.put("a", Why.SWEPT, 7)
    assert known.longest == ("b", 1)
    known.forget("b")
    known.put("c", Why.CHANGED, 8)
    assert known.longest == ("a", 7)
    assert Due().longest is None
