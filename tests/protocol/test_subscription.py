"""What a client wants, as tables: P-044 to P-050, P-052, T-DL-12 to T-DL-15."""

import pytest

from xds_server.protocol.subscription import Subscription

ALL = True
SOME = False


@pytest.mark.parametrize(
    ("requests", "wildcard", "names"),
    [
        pytest.param([[]], ALL, set(), id="P-047 naming nothing at first is the legacy wildcard"),
        pytest.param([[""]], ALL, set(), id="P-045 an empty name is no name"),
        pytest.param([["*"]], ALL, set(), id="P-046 the star is the wildcard, not a name"),
        pytest.param([["A", "A"]], SOME, {"A"}, id="P-045 a name twice is one"),
        pytest.param([["A"], []], SOME, set(), id="P-044 nothing after a name is nothing"),
        pytest.param([["A"], [""]], SOME, set(), id="P-045 so is an empty name"),
        pytest.param([["A"], [], ["A"]], SOME, {"A"}, id="P-044 and names may come again"),
        pytest.param([[], ["*", "A"]], ALL, {"A"}, id="P-049 step 1"),
        pytest.param([[], ["*", "A"], ["A"]], SOME, {"A"}, id="P-049 step 2"),
        pytest.param([[], ["*", "A"], ["A"], []], SOME, set(), id="P-049 step 3"),
        pytest.param([[], ["A"]], SOME, {"A"}, id="P-048 a name ends the legacy wildcard"),
        pytest.param([[], ["A"], []], SOME, set(), id="P-048 for good"),
        pytest.param([[], []], ALL, set(), id="P-047 the legacy wildcard lasts while nothing is named"),
    ],
)
@pytest.mark.shows("P-044", "P-045", "P-046", "P-047", "P-048", "P-049")
def test_sotw_requests_for_clusters(requests, wildcard, names):
    subscription = Subscription(legacy_wildcard=True)
    for request in requests:
        subscription.replace(request)

    assert (subscription.wildcard, subscription.names) == (wildcard, names)


@pytest.mark.shows("P-047")
def test_naming_nothing_is_no_wildcard_where_there_is_no_legacy_one():
    """Only clusters and listeners have it."""
    subscription = Subscription(legacy_wildcard=False)

    assert subscription.replace([]) == frozenset()
    assert not subscription.wants("A")


@pytest.mark.parametrize(
    ("requests", "added"),
    [
        pytest.param([["A", "B"]], {"A", "B"}, id="everything is new at first"),
        pytest.param([["A"], ["B", "A"]], {"B"}, id="P-041 a name that was added"),
        pytest.param([["A", "B"], ["B", "A"]], set(), id="P-040 order means nothing"),
        pytest.param([["A", "B"], ["A"]], set(), id="P-043 a name that is gone"),
        pytest.param([[]], {"*"}, id="the legacy wildcard shows as a star"),
        pytest.param([[], []], set(), id="once"),
        pytest.param([["A"], ["*", "A"]], {"*"}, id="the wildcard beside a name"),
        pytest.param([["*"], ["*", "A"]], {"A"}, id="P-041 a name beside the wildcard"),
    ],
)
@pytest.mark.shows("P-040", "P-041", "P-043")
def test_what_a_sotw_request_adds(requests, added):
    subscription = Subscription(legacy_wildcard=True)
    for request in requests[:-1]:
        subscription.replace(request)

    assert subscription.replace(requests[-1]) == added


@pytest.mark.parametrize(
    ("requests", "wildcard", "names"),
    [
        pytest.param([([], [])], ALL, set(), id="P-047 naming nothing at first is the legacy wildcard"),
        pytest.param([(["*"], [])], ALL, set(), id="P-046 the star is the wildcard"),
        pytest.param([([], []), (["A"], [])], ALL, {"A"}, id="P-050 a name keeps the legacy wildcard"),
        pytest.param([([], []), (["A"], []), ([], ["*"])], SOME, {"A"}, id="P-050 dropping the star ends it"),
        pytest.param(
            [([], []), (["A"], []), ([], ["*"]), ([], ["A"])], SOME, set(), id="P-050 nothing is left"
        ),
        pytest.param([([], []), (["A"], []), ([], ["A"])], ALL, set(), id="T-DL-12 the wildcard stays"),
        pytest.param([([], []), ([], ["*"]), ([], [])], SOME, set(), id="T-DL-13 it does not come back"),
        pytest.param([(["A"], []), ([], ["A"]), ([], [])], SOME, set(), id="T-DL-14 nor begins late"),
        pytest.param([([], ["A"]), ([], [])], SOME, set(), id="P-047 dropping is naming, too"),
        pytest.param([(["A"], ["A"])], SOME, set(), id="P-052 of a name in both lists removal wins"),
        pytest.param([(["*"], ["*"])], SOME, set(), id="P-052 the star, too"),
        pytest.param([(["", "A"], [])], SOME, {"A"}, id="P-045 an empty name is no name"),
        pytest.param([(["A"], []), ([], ["Z"])], SOME, {"A"}, id="P-075 dropping what is not held"),
        pytest.param([(["A"], []), ([], []), ([], [])], SOME, {"A"}, id="an ACK changes nothing"),
    ],
)
@pytest.mark.shows("P-045", "P-046", "P-047", "P-050", "P-052", "P-075", "T-DL-12", "T-DL-13", "T-DL-14")
def test_delta_requests_for_clusters(requests, wildcard, names):
    subscription = Subscription(legacy_wildcard=True)
    for subscribe, unsubscribe in requests:
        subscription.change(subscribe, unsubscribe)

    assert (subscription.wildcard, subscription.names) == (wildcard, names)


@pytest.mark.shows("T-DL-15")
def test_an_empty_first_delta_request_is_no_wildcard_where_there_is_no_legacy_one():
    subscription = Subscription(legacy_wildcard=False)
    subscription.change([], [])

    assert not subscription.wants("A")
