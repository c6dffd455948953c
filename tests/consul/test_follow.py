from xds_server.consul.follow import Following

ROOM = 20  # the list, 3 wide polls, 2 reads: 14 can be close
CLOSE = 14


def names(count: int) -> frozenset[str]:
    return frozenset(f"s{number:03}" for number in range(count))


def following(count: int) -> Following:
    following = Following(ROOM)
    assert following.follow(names(count)) == frozenset()
    return following


def test_while_there_is_room_all_are_close() -> None:
    few = following(ROOM - 1)
    assert not few.wide
    assert set(few.start()) == names(ROOM - 1)
    assert all(few.stays(name) for name in names(ROOM - 1))
    assert few.start() == []


def test_beyond_that_only_what_is_used_or_has_changed_is() -> None:
    many = following(ROOM)
    assert many.wide
    assert many.start() == []
    many.use(frozenset({"s002", "not listed"}))
    many.change("s001")
    many.change("not listed either")
    assert many.start() == ["s002", "s001"]
    assert many.stays("s001")
    assert len(many.close) == 2


def test_what_is_used_goes_first_and_then_what_changed_last() -> None:
    many = following(100)
    many.use(names(10))
    for number in (5, 50, 51, 52, 53, 54, 6):
        many.change(f"s{number:03}")
    started = many.start()
    assert started[:2] == ["s006", "s005"]
    assert set(started[2:10]) == names(10) - {"s005", "s006"}
    assert started[10:] == ["s054", "s053", "s052", "s051"]  # 50 changed the longest ago


def test_a_connection_is_handed_over_only_to_a_worthier_service() -> None:
    many = following(100)
    for number in range(CLOSE):
        many.change(f"s{number:03}")
    assert len(many.start()) == CLOSE
    assert all(many.stays(name) for name in sorted(many.close))
    many.change("s050")  # pushes out the one that is quiet for longest
    assert many.stays("s001")
    assert not many.stays("s000")
    assert many.start() == ["s050"]
    many.use(frozenset({"s060"}))
    assert not many.stays("s001")
    assert many.start() == ["s060"]
    assert all(many.stays(name) for name in sorted(many.close))
    many.use(frozenset())
    many.change("s070")
    assert not many.stays("s060")


def test_no_more_are_close_than_there_is_room_for() -> None:
    many = following(1000)
    many.use(names(1000))
    for number in range(500):
        many.change(f"s{number:03}")
        for name in sorted(many.close):
            many.stays(name)
        many.start()
        assert len(many.close) <= CLOSE
    assert many.close == {f"s{number:03}" for number in range(500 - CLOSE, 500)}


def test_growing_ends_no_more_polls_than_it_must() -> None:
    some = following(ROOM - 1)
    some.start()
    some.use(names(3))
    ended = some.follow(names(ROOM))
    assert len(ended) == ROOM - 1 - CLOSE
    assert not ended & names(3)
    assert some.follow(names(5)) == names(ROOM - 1) - ended - names(5)
    assert set(some.start()) <= names(5)
    assert some.close == names(5)


def test_very_few_connections_leave_some_for_reads() -> None:
    few = Following(4)
    few.follow(names(10))
    few.use(names(10))
    assert few.start() == []


def test_with_more_room_all_are_close_again_and_with_less_some_are() -> None:
    some = following(100)
    some.use(names(50))
    assert len(some.start()) == CLOSE
    some.resize(1000)
    assert some.follow(names(100)) == frozenset()
    some.start()
    assert some.close == names(100)
    some.resize(ROOM)
    assert len(some.follow(names(100))) == 100 - CLOSE
    assert some.close <= names(50)
