"""Answers recorded from a real agent, hand-made ones of newer versions, and bytes that are nothing at all."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.consul.fake_consul import row
from xds_server.consul.decode import MAX_PROBLEMS, choose_names, decode_service, decode_services
from xds_server.consul.errors import Unreadable
from xds_server.model.catalog import Instance, Locality, Status, Weights
from xds_server.model.problem import Code

DATA = Path(__file__).parent / "data"


def recorded(name: str) -> bytes:
    return json.dumps(json.loads((DATA / f"{name}.json").read_text())["body"]).encode()


def decoded(name: str, *rows: Any, datacenter: str = "") -> Any:
    return decode_service(name, json.dumps(rows).encode(), datacenter)


def only(name: str, **service: Any) -> Instance:
    answer = decoded(name, row(name, **service))
    assert answer.problems == ()
    return answer.service.instances[0]


# --- the list of services


def test_only_names_that_may_meet_a_url_are_asked_for() -> None:
    names, problems = choose_names(decode_services(recorded("services")), frozenset({"consul"}))
    assert names == {"hostile", "payments", "resting", "user", "user-sidecar-proxy"}
    assert {problem.code for problem in problems} == {Code.SERVICE_NAME}
    sources = {problem.source for problem in problems}
    assert 'consul service "zz/../payments"' in sources
    assert 'consul service "line\\nfeed"' in sources
    assert 'consul service "nul\\x00byte"' in sources
    assert f'consul service "{"x" * 80}..."' in sources
    assert len(problems) == 10


def test_ten_thousand_bad_names_make_a_bounded_report() -> None:
    names, problems = choose_names([f"bad {number}" for number in range(10_000)], frozenset())
    assert names == frozenset()
    assert len(problems) == MAX_PROBLEMS + 1
    assert "9950 more" in problems[-1].sentence


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"consul":[]',
        b"<html>",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"\xff": []}',
        b"NaN",
    ],
    ids=["empty", "null", "list", "truncated", "html", "deep lists", "deep objects", "not UTF-8", "NaN"],
)
def test_what_is_no_list_of_services_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        decode_services(body)


def test_an_empty_list_of_services_is_read_as_such() -> None:
    assert decode_services(b"{}") == frozenset()


# --- instances


def test_instances_as_consul_gives_them() -> None:
    answer = decode_service("user", recorded("health-user"))
    assert answer.problems == ()
    assert answer.datacenter == "dc1"
    far, near = answer.service.instances
    assert near == Instance(
        node="test-node",
        id="user-8080",
        address="10.0.0.1",
        port=8080,
        tagged=(("lan_ipv4", "10.0.0.1", 8080), ("wan_ipv4", "10.0.0.1", 8080)),
        tags=("blue", "v1"),
        meta=(("team", "accounts"),),
        weights=Weights(passing=3, warning=1),
        statuses=(Status.PASSING, Status.WARNING),
        node_meta=(("consul-network-segment", ""),),
        datacenter="dc1",
        created=near.created,
    )
    assert 0 < near.created <= near.index
    assert near.index > 0
    # No address of its own, so the node's; the locality is in the node's Meta.
    assert (far.node, far.address, far.port) == ("far-1", "10.9.0.1", 9000)
    assert far.tagged == (("lan", "10.9.0.2", 9001), ("wan", "198.51.100.7", 443))
    assert far.locality == Locality(region="eu", zone="eu-a", sub_zone="rack-7")
    assert dict(far.node_meta)["external-node"] == "true"
    assert far.statuses == ()


def test_the_output_of_a_check_is_nowhere() -> None:
    assert b"disk almost full" in recorded("health-user")
    assert "disk almost full" not in repr(decode_service("user", recorded("health-user")))


def test_maintenance_and_a_status_of_no_meaning() -> None:
    statuses = {
        one.id: one.statuses
        for one in decode_service("resting", recorded("health-resting")).service.instances
    }
    assert Status.MAINTENANCE in statuses["resting-1"]
    assert statuses["resting-2"] == (Status.MAINTENANCE,)
    assert statuses["resting-3"] == (Status.CRITICAL,)


def test_a_sidecar_is_no_service_and_no_problem() -> None:
    answer = decode_service("user-sidecar-proxy", recorded("health-sidecar"))
    assert (answer.proxied, answer.service.instances, answer.problems) == (True, (), ())


def test_rows_of_another_service_are_never_taken() -> None:
    answer = decode_service("zz/../payments", recorded("health-confused"))
    assert answer.service.instances == ()
    assert [problem.code for problem in answer.problems] == [Code.SERVICE_ROW]
    assert '"payments"' in answer.problems[0].sentence
    assert answer.problems[0].source == 'consul service "zz/../payments" instance "pay-1" on node "far-4"'


def test_hostile_registrations_are_decoded_and_bounded() -> None:
    answer = decode_service("hostile", recorded("health-hostile"))
    by_id = {one.id: one for one in answer.service.instances}
    assert len(by_id) == answer.rows == 12
    assert by_id["port-minus"].port == -1
    assert by_id["port-70000"].port == 70000
    assert by_id["tagged-garbage"].tagged == (("", "x", 99999), ("lan", "\x00", -5))
    assert by_id["address-newline"].address == "10.0.0.1\n"
    assert len(by_id["tags-many"].tags) == 64
    assert by_id["tag-long"].tags == ("ok",)
    assert [problem.source.split('"')[3] for problem in answer.problems] == ["tag-long", "tags-many"]


def test_newer_shapes() -> None:
    answer = decode_service("api", recorded("health-locality-newer"))
    assert answer.problems == ()
    assert {one.id: one.locality for one in answer.service.instances} == {
        "own": Locality(region="us-west-1", zone="us-west-1a"),
        "of-node": Locality(region="us-west-1", zone="us-west-1b"),
    }
    assert {one.id: one.port for one in answer.service.instances} == {"own": 8080, "of-node": 8080}


def test_a_service_with_several_ports() -> None:
    answer = decode_service("api", recorded("health-ports-newer"))

    (one,) = answer.service.instances
    assert answer.problems == ()
    assert (one.port, one.ports) == (8080, (("http", 8080), ("metrics", 9090)))


PORTS = [
    ([{"Name": "b", "Port": 2}, {"Name": "a", "Port": 1}], 0, (("a", 1), ("b", 2)), 2, 0),
    ([{"Name": "a", "Port": 1}, {"Name": "b", "Port": 2, "Default": True}], 0, (("a", 1), ("b", 2)), 2, 0),
    ([{"Name": "a", "Port": 1, "Default": True}], 80, (("a", 1),), 80, 0),
    ([{"Name": "a", "Port": 1}, {"Name": "a", "Port": 2}], 0, (("a", 1),), 1, 1),
    ([{"Name": "a:b", "Port": 1}, {"Name": "", "Port": 2}, {"Name": "x" * 64, "Port": 3}], 5, (), 5, 3),
    ([{"Name": "a", "Port": "1"}, {"Name": "b", "Port": -7}, 8], 0, (("b", -7),), -7, 2),
    ([{"Name": f"p{number:02}", "Port": number} for number in range(70)], 9, ..., 9, 6),
    ("garbage", 5, (), 5, 1),
    (None, 5, (), 5, 0),
]


@pytest.mark.parametrize(("given", "own", "named", "default", "lost"), PORTS)
def test_ports_are_bounded_and_bad_ones_cost_themselves(
    given: Any, own: int, named: Any, default: int, lost: int
) -> None:
    answer = decoded("user", row("user", port=own, Ports=given))

    (one,) = answer.service.instances
    assert one.port == default
    assert one.ports == named if named is not ... else len(one.ports) == 64
    assert len(answer.problems) == bool(lost)
    if lost and given != "garbage":
        assert f"{lost} of its Ports are beyond the limits" in answer.problems[0].sentence


@pytest.mark.parametrize(
    ("node", "service", "tagged"),
    [
        ({"lan": "10.0.0.1", "wan": "1.2.3.4"}, {}, (("wan", "1.2.3.4", 0),)),
        ({"wan": "10.0.0.1"}, {}, ()),
        ({"wan": "1.2.3.4"}, {"Address": "10.0.0.9"}, ()),
        (
            {"wan": "1.2.3.4"},
            {"TaggedAddresses": {"wan": {"Address": "5.6.7.8", "Port": 1}}},
            (("wan", "5.6.7.8", 1),),
        ),
        ({"wan": 7}, {}, ()),
        (None, {}, ()),
    ],
)
def test_the_address_of_the_node_for_the_wan_is_that_of_a_service_without_one(
    node: Any, service: dict[str, Any], tagged: Any
) -> None:
    one = row("user", **service)
    one["Node"]["TaggedAddresses"] = node

    assert decoded("user", one).service.instances[0].tagged == tagged


def test_the_meta_of_a_node_is_bounded() -> None:
    one = row("user")
    one["Node"]["Meta"] = {f"k{number:03}": "v" for number in range(70)} | {"x": "y" * 513}

    answer = decoded("user", one)

    assert len(answer.service.instances[0].node_meta) == 64
    assert "7 of its node's Meta are beyond the limits" in answer.problems[0].sentence


# --- single fields

NULLS = {
    "ID": None,
    "Kind": None,
    "Address": None,
    "Port": None,
    "Tags": None,
    "Meta": None,
    "Weights": None,
    "Locality": None,
    "TaggedAddresses": None,
    "Ports": None,
    "CreateIndex": None,
    "ModifyIndex": None,
}


def test_null_is_what_go_makes_of_nothing() -> None:
    nothing: Any = {
        "Node": {"Node": "n1", "Address": "10.0.0.1", "Datacenter": None, "Meta": None, "Locality": None},
        "Service": {"Service": "user", **NULLS},
        "Checks": None,
    }
    answer = decoded("user", nothing)
    assert answer.problems == ()
    assert answer.service.instances == (Instance(node="n1", id="", address="10.0.0.1", port=0),)


def test_weights_out_of_range_are_for_others_to_judge() -> None:
    assert only("user", Weights={"Passing": -1, "Warning": 70000}).weights == Weights(
        passing=-1, warning=70000
    )
    assert only("user", Weights={"Passing": 0}).weights == Weights(passing=0, warning=1)


@pytest.mark.parametrize("value", ["garbage", 7, {"lan": "x", "wan": {"Address": "1.2.3.4", "Port": 5}}, [1]])
def test_bad_tagged_addresses_cost_only_themselves(value: Any) -> None:
    kept = (("wan", "1.2.3.4", 5),) if isinstance(value, dict) else ()
    assert only("user", TaggedAddresses=value).tagged == kept


@pytest.mark.parametrize("value", ["12", 1.5, -1, 10**30, None, {}])
def test_an_odd_modify_index_is_no_problem(value: Any) -> None:
    assert only("user", ModifyIndex=value).index <= 0


def test_the_modify_index_does_not_make_an_instance_another_one() -> None:
    first, second = only("user", ModifyIndex=5), only("user", ModifyIndex=6)
    assert (first.index, second.index) == (5, 6)
    assert first == second


def bad(**fields: Any) -> dict[str, Any]:
    one = row("user", id="bad", node="n2")
    for path, value in fields.items():
        outer, _, inner = path.partition("_")
        if inner:
            one[outer][inner] = value
        else:
            one[outer] = value
    return one


BAD_ROWS = {
    "no node": bad(Node=None),
    "no service": bad(Service=None),
    "nothing": None,
    "text": "row",
    "number": 10**400,
    "empty": {},
    "no port": {"Node": {"Node": "n2"}, "Service": {"Service": "user", "ID": "bad"}},
    "port as text": bad(Service_Port="80"),
    "port as float": bad(Service_Port=80.5),
    "port as bool": bad(Service_Port=True),
    "huge port": bad(Service_Port=10**30),
    "address as number": bad(Service_Address=10),
    "tag as number": bad(Service_Tags=[1]),
    "tags as text": bad(Service_Tags="a"),
    "meta as list": bad(Service_Meta=[]),
    "weights as text": bad(Service_Weights={"Passing": "1"}),
    "weights as float": bad(Service_Weights={"Passing": 1.5}),
    "checks as object": bad(Checks={}),
    "status as number": bad(Checks=[{"CheckID": "a", "Status": 1}]),
    "node name null": bad(Node_Node=None),
    "service name null": bad(Service_Service=None),
    "other service": bad(Service_Service="payments"),
    "other case": bad(Service_Service="User"),
    "other datacenter": bad(Node_Datacenter="dc2"),
    "long id": bad(Service_ID="x" * 300_000),
    "long node": bad(Node_Node="x" * 300_000),
}


@pytest.mark.parametrize("one", BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_bad_row_costs_itself_and_is_told(one: Any) -> None:
    answer = decoded("user", row("user", port=1), one, row("user", port=2), datacenter="dc1")
    assert [instance.port for instance in answer.service.instances] == [1, 2]
    (problem,) = answer.problems
    assert problem.code is Code.SERVICE_ROW
    assert problem.source.startswith('consul service "user"')
    assert problem.sentence.endswith(".")
    assert len(problem.source) + len(problem.sentence) < 600


def test_a_bad_row_is_named_as_far_as_it_tells() -> None:
    answer = decoded("user", bad(Service_Port="80"), {"Service": {"ID": "x"}, "Node": 1})
    assert [problem.source for problem in answer.problems] == [
        'consul service "user" instance "bad" on node "n2"',
        'consul service "user" instance "x"',
    ]
    assert "$.Service.Port" in answer.problems[0].sentence


def test_control_characters_are_escaped_in_what_people_read() -> None:
    answer = decoded("user", bad(Service_ID="a\r\n\x1b[31m\u202e\x7f", Service_Port="80", Node_Node='"' * 90))
    problem = answer.problems[0]
    assert problem.source.isascii()
    assert problem.source.isprintable()
    assert '"a\\r\\n\\x1b[31m\\u202e\\x7f"' in problem.source


def test_the_first_of_two_rows_of_one_instance_is_used() -> None:
    answer = decoded(
        "user", row("user", id="a", port=1), row("user", id="a", port=2), row("user", id="a", node="b")
    )
    assert [(one.node, one.port) for one in answer.service.instances] == [("b", 80), ("n1", 1)]
    assert len(answer.problems) == 1


def test_the_first_datacenter_is_expected_of_the_others() -> None:
    other = row("user", port=2)
    other["Node"]["Datacenter"] = "dc2"
    answer = decoded("user", row("user", port=1), other)
    assert answer.datacenter == "dc1"
    assert len(answer.service.instances) == len(answer.problems) == 1


def test_the_order_of_rows_tags_and_checks_means_nothing() -> None:
    rows = [
        row("user", port=port, Tags=[f"t{n}" for n in range(port)], Meta={"a": "1", "b": "2"})
        for port in range(9)
    ]
    turned = json.loads(json.dumps(rows))[::-1]
    for one in turned:
        one["Service"]["Tags"].reverse()
        one["Service"]["Meta"] = dict(reversed(one["Service"]["Meta"].items()))
    assert decoded("user", *rows).service == decoded("user", *turned).service


def test_meta_beyond_consuls_limits_is_cut_and_told() -> None:
    meta = {f"k{number:03}": "v" for number in range(80)} | {"long": "v" * 513, "k" * 129: "v"}
    answer = decoded("user", row("user", Meta=meta))
    assert len(answer.service.instances[0].meta) == 64
    assert "18 of its Meta" in answer.problems[0].sentence


def test_many_bad_rows_make_a_bounded_report() -> None:
    answer = decoded("user", *[None] * 1000)
    assert len(answer.problems) == MAX_PROBLEMS + 1
    assert answer.unreadable == answer.rows == 1000


# --- any bytes

loaded = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
_field = st.sampled_from(
    [*NULLS, "Service", "Node", "Checks", "Datacenter", "CheckID", "Status", "Passing", "Region", "lan"]
)
_part = st.dictionaries(_field, _json | st.just("user"), max_size=5)
_rowish = st.lists(st.dictionaries(_field, _part | st.lists(_part, max_size=2), max_size=4), max_size=3)


@loaded
@given(st.binary() | (_json | _rowish).map(lambda value: json.dumps(value).encode()))
def test_no_bytes_raise_anything_but_unreadable(body: bytes) -> None:
    for decode in (decode_services, lambda raw: decode_service("user", raw)):
        with contextlib.suppress(Unreadable):
            decode(body)


@loaded
@given(st.data())
def test_a_mangled_recording_raises_nothing_but_unreadable(data: st.DataObject) -> None:
    body = bytearray(recorded("health-user"))
    for _ in range(data.draw(st.integers(1, 8))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        answer = decode_service("user", bytes(body[: data.draw(st.integers(0, len(body)))]))
    except Unreadable:
        return
    assert all(problem.source.isprintable() for problem in answer.problems)


def test_an_instance_that_says_more_than_is_kept_is_marked():
    def cut(**service: Any) -> bool:
        return decoded("user", row("user", **service)).service.instances[0].cut

    assert not cut(Tags=["a"], Meta={"k": "v"})
    assert cut(Tags=["x" * 300])
    assert cut(Tags=[str(number) for number in range(65)])
    assert cut(Meta={"k": "v" * 600})


def test_what_rows_have_in_common_is_held_once() -> None:
    def service(name: str) -> Any:
        meta = {"Meta": {"version": "1.4"}, "Tags": ["http"], "Weights": {"Passing": 3, "Warning": 2}}
        return decoded(name, row(name, **meta), row(name, ID=f"{name}-2", **meta)).service

    found = [one for name in ("user", "order") for one in service(name).instances]

    assert len(found) == 4
    for shared in ("node", "tags", "meta", "weights", "locality", "datacenter", "node_meta"):
        assert len({id(getattr(one, shared)) for one in found}) == 1, shared
