import pytest
from envoy.config.core.v3.base_pb2 import Node
from envoy.type.matcher.v3.node_pb2 import NodeMatcher
from google.protobuf.json_format import ParseDict

from xds_server.protocol.matching import MAX_MATCHERS, UnsupportedMatcherError, check, matches

NODE = Node(id="edge-1")
NODE.metadata.update({"team": "red", "size": 3, "spare": None, "old": True, "at": {"zone": "z1"}})


def matcher(**parts) -> NodeMatcher:
    return ParseDict(parts, NodeMatcher())


def metadata(*path: str, **value) -> NodeMatcher:
    return matcher(node_metadatas=[{"path": [{"key": key} for key in path], "value": value}])


def text(*path: str, **pattern) -> NodeMatcher:
    return metadata(*path, string_match=pattern)


def number(*path: str, **pattern) -> NodeMatcher:
    return metadata(*path, double_match=pattern)


def test_without_matchers_everyone_is_meant():
    assert matches(NODE, [])


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (matcher(), True),
        (matcher(node_id={"prefix": "edge"}), True),
        (matcher(node_id={"exact": "edge"}), False),
        (text("team", exact="red"), True),
        (text("team", exact="RED"), False),
        (text("team", exact="RED", ignore_case=True), True),
        (text("at", "zone", suffix="1"), True),
        (text("at", "nowhere", suffix="1"), False),
        (text("team", "deeper", exact="red"), False),
        (text("size", exact="3"), False),
        (text("size", prefix=""), False),
        (number("size", exact=3), True),
        (number("size", exact=4), False),
        (number("size", range={"start": 3, "end": 4}), True),
        (number("size", range={"start": 2, "end": 3}), False),
        (number("team", exact=0), False),
        (metadata("old", bool_match=True), True),
        (metadata("old", bool_match=False), False),
        (metadata("team", bool_match=False), False),
        (metadata("spare", null_match={}), True),
        (metadata("team", null_match={}), False),
        (metadata("team", present_match=True), True),
        (metadata("nothing", present_match=True), False),
    ],
)
def test_one_matcher(one, found):
    check([one])

    assert matches(NODE, [one]) is found


def test_all_that_a_matcher_says_has_to_hold():
    both = matcher(node_id={"exact": "edge-1"})
    both.MergeFrom(text("team", exact="blue"))

    assert not matches(NODE, [both])


def test_one_of_several_matchers_is_enough():
    assert matches(NODE, [matcher(node_id={"exact": "other"}), text("team", exact="red")])


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (matcher(node_id={"safe_regex": {"regex": "e.*"}}), "by safe_regex here"),
        (matcher(node_id={}), "by nothing here"),
        (text("team", safe_regex={"regex": "e.*"}), "by safe_regex here"),
        (metadata("team", list_match={"one_of": {"bool_match": True}}), "by list_match here"),
        (metadata("team"), "by nothing here"),
    ],
)
def test_what_is_not_known_is_said(one, said):
    with pytest.raises(UnsupportedMatcherError, match=said):
        check([one])


@pytest.mark.shows("P-117")
@pytest.mark.parametrize(
    "many",
    [
        [matcher(node_id={"exact": "a"})] * (MAX_MATCHERS + 1),
        [
            NodeMatcher(
                node_metadatas=[*metadata("a", present_match=True).node_metadatas] * (MAX_MATCHERS + 1)
            )
        ],
    ],
)
def test_there_may_not_be_too_many(many):
    with pytest.raises(UnsupportedMatcherError, match="more than 100 matchers"):
        check(many)
