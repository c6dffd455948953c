"""What is at fault is found by halving, whatever the texts say, in few tries."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xds_server.runtime.trial import HOPELESS, MOST_TRIES, Trial


def find(names, bad, text=lambda _: ()):
    """Play a client that rejects what holds something bad; give what it had not accepted, and the sends."""
    trial, left, sends = Trial(), set(names), 1
    seen = [frozenset(names)]
    trial.reject(left, {name for name in text(left) if name in left})
    while trial.testing:
        sends += 1
        sent = trial.testing
        assert sent <= left
        seen.append(sent)
        if sent & bad:
            trial.reject(sent, {name for name in text(sent) if name in sent})
        else:
            left -= sent
            trial.clear(sent)
    return left, sends, seen


NAMES = [f"c{number:02}" for number in range(30)]


@pytest.mark.parametrize("bad", NAMES)
def test_one_among_thirty_is_found_without_a_text(bad):
    left, sends, seen = find(NAMES, {bad})
    assert left == {bad}
    assert sends <= 2 * math.log2(len(NAMES)) + 3
    assert len(set(seen)) == len(seen), "the same was sent twice"


def test_two_at_once_are_found():
    left, sends, _ = find(NAMES, {"c03", "c21"})
    assert left == {"c03", "c21"}
    assert sends <= 4 * math.log2(len(NAMES)) + 3


def test_a_text_that_names_it_takes_one_try():
    assert find(NAMES, {"c07"}, lambda sent: sent & {"c07"})[:2] == ({"c07"}, 2)


def test_a_text_that_names_one_after_the_other():
    bad = {"c01", "c02", "c03"}
    assert find(NAMES, bad, lambda sent: sorted(sent & bad)[:1])[:2] == (bad, 4)


def test_a_text_that_names_a_wrong_one_costs_tries_and_no_more():
    left, sends, _ = find(NAMES, {"c07"}, lambda _: {"c11"})
    assert left == {"c07"}
    assert sends <= 2 * math.log2(len(NAMES)) + 5


def test_a_client_that_rejects_everything_is_left_alone():
    left, sends, _ = find([f"n{number}" for number in range(5000)], {f"n{number}" for number in range(5000)})
    assert len(left) == 5000
    assert sends <= 17


def test_what_is_not_sent_does_not_hold_up_the_rest():
    trial = Trial()
    trial.reject({"a", "b", "c", "d"}, ())
    trial.clear({"a", "b"})
    assert trial.testing == {"c"}
    trial.clear({"c", "d"})
    assert not trial.testing


@given(
    st.sets(st.sampled_from(NAMES), min_size=1),
    st.sets(st.sampled_from(NAMES), max_size=3),
    st.sets(st.sampled_from(NAMES), max_size=3),
)
def test_whatever_is_bad_and_whatever_is_said(names, bad, said):
    left, sends, seen = find(names, bad | {min(names)}, lambda sent: () if sent <= said else said)
    assert bad & names <= left
    assert sends <= MOST_TRIES + 1
    rejected = [bool(one & (bad | {min(names)})) for one in seen]
    # As many in a row look like a client that rejects everything.
    if sends <= MOST_TRIES and rejected[-HOPELESS:] != [True] * HOPELESS:
        assert left <= bad | {min(names)} | said
