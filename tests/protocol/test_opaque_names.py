"""A name is text to be compared, whatever it looks like (P-103 in its smallest form)."""

import pytest

from tests.protocol.resources import SDS, secret, snapshot
from tests.protocol.talk import TALKS, DeltaTalk, Sent

NAMES = [
    pytest.param("xdstp://authority/envoy.config.Secret/a?x=1&y=2", id="xdstp"),
    pytest.param("a%2Fb?c=d#e", id="escapes"),
    pytest.param("a/b/*", id="a star that is not alone"),
    pytest.param(" \t\n\x00", id="control characters"),
    pytest.param("ü 漢 🂡", id="beyond ASCII"),
    pytest.param("x" * 500, id="long"),
]


@pytest.mark.shows("T-DL-28")
@pytest.mark.parametrize("variant", TALKS)
@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_any_form_is_a_name(variant, name):
    old = snapshot(secret("other"), secret(name))
    talk = TALKS[variant](old)
    assert talk.ask(SDS, name) == [Sent(SDS, {name: "1"})]
    talk.ack(SDS)

    assert talk.offer(snapshot(secret("other"), secret(name, "2"), after=old)) == [Sent(SDS, {name: "2"})]


@pytest.mark.shows("T-DL-28")
def test_a_glob_covers_nothing_and_is_said_to_be_missing():
    glob, one = "xdstp://authority/Secret/*", "xdstp://authority/Secret/a"
    old = snapshot(secret(one))
    talk = DeltaTalk(old)

    assert talk.ask(SDS, glob) == [Sent(SDS, {}, removed=(glob,))]
    assert talk.offer(snapshot(secret(one, "2"), after=old)) == []


@pytest.mark.shows("T-DL-28")
def test_names_that_differ_in_the_order_of_their_parameters_are_two():
    one, other = "xdstp://authority/Secret/a?x=1&y=2", "xdstp://authority/Secret/a?y=2&x=1"
    talk = DeltaTalk(snapshot(secret(one)))

    assert talk.ask(SDS, one, other) == [Sent(SDS, {one: "1"}, removed=(other,))]
