from xds_server.consul.breaker import FIRST_PAUSE, LAST_PAUSE, Breaker


def fail(breaker: Breaker, questions: range, *, probe: bool = False) -> list[bool]:
    return [breaker.failed(number, 100.0, probe=probe) for number in questions]


def test_it_opens_when_half_of_many_questions_fail() -> None:
    breaker = Breaker()
    for number in range(15):
        breaker.succeeded(number)
    opened = fail(breaker, range(15, 40))
    assert opened.index(True) == 14  # 15 of 30
    assert breaker.is_open()


def test_few_questions_never_open_it() -> None:
    breaker = Breaker()
    assert not any(fail(breaker, range(19)) * 10)
    assert not breaker.is_open()


def test_one_question_that_fails_for_ever_counts_once() -> None:
    breaker = Breaker()
    for number in range(25):
        breaker.succeeded(number)
    assert not any(breaker.failed("bad", 100.0, probe=False) for _ in range(1000))


def test_what_was_asked_long_ago_is_forgotten() -> None:
    breaker = Breaker()
    for number in range(1000):
        breaker.succeeded(number)
    assert fail(breaker, range(1000, 1020))[-1]


def test_a_success_closes_it_and_the_past_is_forgotten() -> None:
    breaker = Breaker()
    fail(breaker, range(20))
    assert breaker.wait(100.0) == FIRST_PAUSE
    assert breaker.succeeded(3)
    assert not breaker.is_open()
    assert breaker.wait(100.0) == 0
    assert not breaker.succeeded(4)
    assert not any(fail(breaker, range(10)))


def test_the_pause_between_probes_grows_to_its_bound() -> None:
    breaker = Breaker()
    fail(breaker, range(20))
    fail(breaker, range(20, 40))  # asked before it opened
    assert breaker.wait(100.0) == FIRST_PAUSE
    pauses = []
    for _ in range(8):
        fail(breaker, range(1), probe=True)
        pauses.append(breaker.wait(100.0))
    assert pauses == [1, 2, 4, 8, 16, LAST_PAUSE, LAST_PAUSE, LAST_PAUSE]
    assert breaker.wait(200.0) == 0
