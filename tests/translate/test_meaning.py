"""What a service without a discovery chain means, and how the weights of splits are divided."""

from fractions import Fraction

import pytest

from xds_server.model.policy import ServicePolicy, WeightedService
from xds_server.model.route import Branch, HeaderChanges, Rule
from xds_server.translate.meaning import WHOLE, ClusterSpec, Parts, Pick, branches, combined, plain

POLICY = ServicePolicy()
MOST = 2**32 - 1


def spec(name, **pick):
    return ClusterSpec(name=name, policy=POLICY, picks=(Pick(service="user", **pick),))


def test_a_plain_service_is_one_cluster_of_its_name():
    found = plain("user", POLICY, Parts())
    assert found.clusters == (spec("user"),)
    assert found.rules == (Rule(branches=(Branch(cluster="user"),), source='service "user"'),)
    assert dict(found.ways) == {WHOLE: (Branch(cluster="user"),)}


def test_parts_have_clusters_and_ways_of_their_own():
    parts = Parts(subsets=(("v2", "v2 in Service.Tags"),), canary="new in Service.Tags", ports=("metrics",))
    found = plain("user", POLICY, parts)
    assert found.clusters == (
        spec("user", filter="not (new in Service.Tags)"),
        spec("user:metrics", filter="not (new in Service.Tags)", port="metrics"),
        spec("user@v2", filter="v2 in Service.Tags"),
        spec("user@v2:metrics", filter="v2 in Service.Tags", port="metrics"),
    )
    assert {part: way[0].cluster for part, way in found.ways.items()} == {
        WHOLE: "user",
        ("v2", ""): "user@v2",
        ("v2", "metrics"): "user@v2:metrics",
        ("", "metrics"): "user:metrics",
    }


def shares(way):
    total = sum(branch.weight for branch in way)
    return [(branch.cluster, Fraction(branch.weight, total)) for branch in way]


A, B, C = (Branch(cluster=name) for name in "abc")
SPLIT = (Branch(cluster="a", weight=2), Branch(cluster="b", weight=1))


@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        ([(7, [A])], [("a", 1)]),
        ([(3, [A]), (1, [B])], [("a", Fraction(3, 4)), ("b", Fraction(1, 4))]),
        ([(1, SPLIT), (3, [C])], [("a", Fraction(1, 6)), ("b", Fraction(1, 12)), ("c", Fraction(3, 4))]),
        ([(1, SPLIT), (1, [A])], [("a", Fraction(5, 6)), ("b", Fraction(1, 6))]),
        ([(0, [A]), (3, [B])], [("b", 1)]),
        ([(1, []), (3, [Branch(cluster="b", weight=0), C])], [("c", 1)]),
        ([(0, SPLIT)], []),
        ([], []),
    ],
)
def test_each_weight_is_divided_among_the_branches_of_its_way(ways, expected):
    assert shares(combined(ways)) == expected


def test_weights_stay_as_they_were_written():
    way = combined([(90, [A]), (10, [B])])
    assert [branch.weight for branch in way] == [90, 10]


def test_ways_to_one_cluster_with_other_header_changes_stay_apart():
    changed = Branch(cluster="a", request=HeaderChanges(set=(("x", "1"),)))
    assert combined([(1, [changed]), (1, [A])]) == (changed, Branch(cluster="a"))


def test_weights_beyond_what_envoy_takes_are_scaled_and_none_vanishes():
    way = combined([(MOST, [A]), (1, [B]), (MOST, [C])])
    weights = [branch.weight for branch in way]
    assert min(weights) == 1
    assert sum(weights) <= MOST
    assert weights[0] == weights[2]


def test_weights_beyond_what_envoy_takes_lose_a_common_factor_first():
    way = combined([(MOST - 1, [A]), (2 * (MOST - 1), [B])])
    assert [branch.weight for branch in way] == [1, 2]


def test_a_route_to_a_split_service_divides_its_share():
    halves = (Branch(cluster="v1", weight=9000), Branch(cluster="v2", weight=1000))
    web = plain("web", POLICY, Parts())
    web = type(web)(policy=POLICY, clusters=web.clusters, rules=web.rules, ways={WHOLE: halves})
    meanings = {"web": web, "user": plain("user", POLICY, Parts())}
    way = branches((WeightedService(service="web"), WeightedService(service="user")), meanings)
    assert shares(way) == [("v1", Fraction(9, 20)), ("v2", Fraction(1, 20)), ("user", Fraction(1, 2))]
