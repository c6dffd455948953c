from dataclasses import replace

import pytest

from tests.translate.words.registrations import asked, codes, fields, instance, of_meta, said
from xds_server.model.catalog import Instance, Service, Status
from xds_server.model.policy import Protocol
from xds_server.translate.filters import compiled
from xds_server.translate.words.pieces import MOST_VOICES

PASSING, CRITICAL, WARNING = Status.PASSING, Status.CRITICAL, Status.WARNING


def says(identity: str, protocol: str, status: Status | None = None) -> Instance:
    return instance(identity, {"xds-protocol": protocol}, status=status)


VOTES = [
    ("most decide", [says("a", "grpc"), says("b", "http2"), says("c", "http2")], Protocol.HTTP2),
    ("of equals the lowest id", [says("b", "http2"), says("a", "grpc")], Protocol.GRPC),
    (
        "only those that pass",
        [says("a", "grpc", CRITICAL), says("b", "grpc", WARNING), says("c", "http2", PASSING)],
        Protocol.HTTP2,
    ),
    ("all if none passes", [says("a", "grpc", CRITICAL), says("b", "http2", CRITICAL)], Protocol.GRPC),
    ("who says nothing has no vote", [instance("a"), instance("b"), says("c", "grpc")], Protocol.GRPC),
]


@pytest.mark.parametrize(
    ("instances", "winner"), [case[1:] for case in VOTES], ids=[case[0] for case in VOTES]
)
def test_of_instances_that_disagree_most_passing_ones_decide(instances, winner):
    found = said(*instances)

    assert fields(found) == {"protocol": winner}
    disagree = len({one.meta for one in instances if one.meta}) > 1
    assert codes(found.problems) == ["word-conflict"] * disagree


def test_a_disagreement_names_one_instance_of_each_side():
    found = said(says("a", "grpc"), says("b", "http2"), says("c", "http2"))

    (problem,) = found.problems
    assert problem.source == 'service "web" meta xds-protocol'
    assert '"b" says counts' in problem.sentence
    assert '"a" says does not' in problem.sentence


def test_the_order_of_instances_decides_nothing():
    instances = [says("c", "grpc"), says("a", "http2"), instance("b", {"xds-subset": "v1", "xds-route": "/"})]

    assert said(*instances) == said(*reversed(instances))


def test_a_route_and_its_options_are_decided_together():
    one = instance("a", {"xds-route": "/a", "xds-timeout": "1s"})
    two = instance("b", {"xds-route": "/b"})
    three = instance("c", {"xds-route": "/b", "xds-timeout": "2s"})

    (wish,) = said(one, two, three).wishes

    assert (wish.route.match.path.value, wish.route.treatment.timeout) == ("/a", 1.0)


def test_a_route_that_only_some_ask_for_is_asked_for():
    (wish,) = said(instance("a"), instance("b"), instance("c", {"xds-route": "/new"})).wishes

    assert wish.subset == ""


def test_the_first_registration_of_those_that_ask_counts():
    created = [instance("a", created=3), instance("b", {"xds-route": "/"}, created=9)]
    later = instance("c", {"xds-route": "/"}, created=7)
    other = instance("d", {"xds-route": "/x"}, created=1)

    (wish,) = said(*created, later, other).wishes

    assert wish.created == 7


# --- subsets and canaries --------------------------------------------------------------------------------


def picked(filter_: str, *instances: Instance) -> list[str]:
    return [one.id for one in Service.of("web", instances).instances if compiled(filter_)(one)]


def test_subsets_are_filters_that_pick_who_says_so():
    instances = [
        instance("a", {"xds-subset": "v1"}),
        instance("b", tags=["xds.subset=v2"]),
        instance("c", {"xds-subset": "v1"}, ["xds.subset=v2"]),
        instance("d"),
        instance("e", {"xds-subset": "v2"}),
    ]

    subsets = dict(said(*instances).subsets)

    assert picked(subsets["v1"], *instances) == ["a", "c"]
    assert picked(subsets["v2"], *instances) == ["b", "e"]


def test_instances_may_differ_in_their_subset():
    assert said(instance("a", {"xds-subset": "v1"}), instance("b", {"xds-subset": "v2"})).problems == ()


def test_canaries_are_a_subset_of_their_own():
    instances = [
        instance("a", {"xds-canary": "true"}),
        instance("b", tags=["xds.canary"]),
        instance("c", tags=["Traefik.ConsulCatalog.Canary=true"]),
        instance("d", {"xds-canary": "false"}, ["xds.canary", "traefik.consulcatalog.canary=true"]),
        instance("e"),
        instance("f", {"xds-canary": "true", "xds-subset": "v2"}),
        instance("g", {"xds-subset": "canary"}),
    ]

    found = said(*instances)

    assert picked(found.canary, *instances) == ["a", "b", "c", "f"]
    assert picked(dict(found.subsets)["canary"], *instances) == ["a", "b", "c", "f", "g"]
    assert picked(dict(found.subsets)["v2"], *instances) == ["f"]
    assert said(instance("e")).canary == ""


def test_a_route_that_only_one_subset_asks_for_leads_to_that_subset():
    found = said(
        instance("a", {"xds-subset": "v1", "xds-route": "/", "xds-route-old": "/old"}),
        instance("b", {"xds-subset": "v2", "xds-route": "/", "xds-route-new": "/new"}),
        instance("c", {"xds-canary": "true", "xds-route-try": "/try"}),
    )

    assert {wish.name: wish.subset for wish in found.wishes} == {
        "": "",
        "new": "v2",
        "old": "v1",
        "try": "canary",
    }
    assert found.problems == ()


def test_what_a_subset_asks_for_in_another_way_is_no_disagreement():
    found = said(instance("a", {"xds-route": "/a"}), instance("b", {"xds-subset": "v2", "xds-route": "/b"}))

    assert [(wish.route.match.path.value, wish.subset) for wish in found.wishes] == [("/a", ""), ("/b", "v2")]
    assert found.problems == ()


def test_there_are_only_so_many_subsets():
    many = [instance(f"{n:02}", {"xds-subset": f"v{n:02}", "xds-route": f"/{n}"}) for n in range(20)]

    found = said(*many)

    assert [name for name, _ in found.subsets] == [f"v{n:02}" for n in range(16)]
    assert {wish.subset for wish in found.wishes} == {name for name, _ in found.subsets}
    assert codes(found.problems) == ["word-invalid"] * 4


# --- bounds --------------------------------------------------------------------------------------------


def test_a_service_that_says_too_many_different_things_gets_no_routes():
    many = [instance(f"{n:03}", {"xds-route": "/", "xds-priority": str(n)}) for n in range(MOST_VOICES + 1)]

    assert len(said(*many[:-1]).wishes) == 1
    found = said(*many)
    assert not found.wishes
    assert any("different things" in problem.sentence for problem in found.problems)


def test_a_registration_has_only_so_many_routes():
    found = of_meta({f"xds-route-{n:02}": f"/{n}" for n in range(40)})

    assert len(asked(found)) == 32
    assert codes(found.problems) == ["word-invalid"]


def test_there_are_only_so_many_routes_and_problems_of_a_service():
    routes = [instance(f"i{n}", {f"xds-route-r{n}-{m:02}": f"/{n}/{m}" for m in range(30)}) for n in range(3)]
    wrong = [instance(f"i{n}", {f"xds-wrong-{n}-{m:02}": "" for m in range(30)}) for n in range(3)]

    assert len(said(*routes).wishes) == 64
    assert len(said(*wrong).problems) == 51


def test_ports_that_differ_do_not_make_different_voices():
    def on(port: int) -> Instance:
        tags = (
            "traefik.http.routers.web.rule=Host(`a.com`)",
            f"traefik.http.services.web.loadbalancer.server.port={port}",
        )
        return Instance(node="n1", id=str(port), address="10.0.0.1", port=port, tags=tags)

    found = said(*(on(port) for port in range(20_000, 20_100)))

    assert len(found.wishes) == 1
    assert found.problems == ()


def test_what_was_cut_off_might_restrict_a_route_so_there_is_none():
    whole = instance("a", {"xds-route": "/a"})
    assert said(whole).wishes

    found = said(replace(whole, cut=True))

    assert not found.wishes
    assert codes(found.problems) == ["word-invalid"]
