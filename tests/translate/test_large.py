"""An assignment that is held in parts is, whatever happens, the one that is made from nothing."""

from dataclasses import replace
from random import Random

import pytest

from xds_server.model.catalog import Instance, Locality, Service, Status, Weights, differing_instances
from xds_server.model.policy import EndpointPolicy, OnWarning, ServicePolicy
from xds_server.snapshot.check import check, quick
from xds_server.translate import endpoints, large
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.large import Large, is_large
from xds_server.translate.meaning import ClusterSpec, Pick
from xds_server.translate.packing import Draft
from xds_server.translate.places import Places

SPEC = ClusterSpec(
    name="user",
    policy=ServicePolicy(on_warning=OnWarning.DEGRADED),
    picks=(Pick(service="user", filter='Service.Meta.track != "canary"'),),
)
RULES = EndpointRules(EndpointPolicy())
PLACES = Places(own="dc1")
ADDRESSES = [*(f"10.0.{number // 99}.{number % 99}" for number in range(600)), "127.0.0.1", "no address"]


def numbered(number: int) -> Instance:
    return Instance(
        node=f"n{number:04}", id=f"i{number}", address=f"10.1.{number >> 8}.{number & 255}", port=80
    )


def user(*instances: Instance, departed: bool = False) -> Service:
    return replace(Service.of("user", instances), departed=departed)


def some(random: Random, number: int) -> Instance:
    """Give an instance that may be in the way of another, or not be usable at all."""
    return Instance(
        node=f"n{number}",
        id=f"i{number}",
        address=random.choice(ADDRESSES[:600] if random.random() < 0.99 else ADDRESSES),
        port=random.choice((80, 200, 8080, 20_000)),
        meta=(("track", random.choice(("canary", "main", "main"))),),
        weights=Weights(passing=random.choice((1, 5, 300)) if random.random() < 0.99 else 2**31),
        locality=Locality(zone=random.choice("ab")),
        statuses=(random.choice(list(Status)),),
    )


def afresh(service: Service) -> tuple[bytes, object]:
    draft, problems = endpoints.assignment(SPEC, (service,), RULES, PLACES)
    return draft.packed, problems


@pytest.mark.parametrize("seed", range(4))
def test_going_on_gives_what_a_new_start_gives(seed: int) -> None:
    random = Random(seed)  # noqa: S311 - made up histories
    held, known = Large(SPEC, RULES, PLACES), {number: some(random, number) for number in range(60)}
    for _ in range(150):
        for number in random.sample(range(64), random.choice((0, 1, 1, 2, 5, 40))):
            known.pop(number, None)
            if random.random() < 0.8:
                known[number] = some(random, number)
        now = user(*known.values(), departed=random.random() < 0.05)

        draft, problems = held.assignment(now)

        assert (draft.packed, problems) == afresh(now)


def test_only_the_instance_that_moved_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    instances = [numbered(number) for number in range(500)]
    held = Large(SPEC, RULES, PLACES)
    held.assignment(user(*instances))
    made: list[object] = []
    original = endpoints.endpoint_bytes
    monkeypatch.setattr(endpoints, "endpoint_bytes", lambda one: made.append(one) or original(one))

    instances[250] = replace(instances[250], port=81)
    draft, _ = held.assignment(user(*instances))

    assert len(made) == 1
    monkeypatch.undo()
    assert draft.packed == afresh(user(*instances))[0]


def test_what_failed_is_not_gone_on_from(monkeypatch: pytest.MonkeyPatch) -> None:
    instances = [numbered(number) for number in range(20)]
    held = Large(SPEC, RULES, PLACES)
    held.assignment(user(*instances))
    with monkeypatch.context() as broken:
        broken.setattr(endpoints, "endpoint_bytes", lambda one: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            held.assignment(
                user(*(replace(one, port=81) if one is instances[3] else one for one in instances))
            )

    draft, _ = held.assignment(user(*instances[1:]))

    assert draft.packed == afresh(user(*instances[1:]))[0]


def test_a_cluster_is_large_where_it_has_many_instances_of_one_service_and_one_datacenter() -> None:
    many, few = user(*map(numbered, range(large._LARGE))), user(*map(numbered, range(9)))

    assert is_large([many], PLACES)
    assert not is_large([few], PLACES)
    assert not is_large([many, many], PLACES)
    assert not is_large([many], Places(own="dc1", others=("dc2",)))


def test_of_a_large_assignment_only_the_blocks_with_new_endpoints_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instances = [numbered(number) for number in range(2000)]

    def made() -> Draft:
        return endpoints.assignment(SPEC, (user(*instances),), RULES, PLACES)[0]

    assert check(made()).complaints == ()
    read: list[object] = []
    original = quick._endpoints
    monkeypatch.setattr(quick, "_endpoints", lambda *block: read.append(block[0]) or original(*block))

    instances[250] = replace(instances[250], port=81)
    assert check(made()).complaints == ()

    assert len(read) == 1
    # What is in two blocks, each of them good, is still there twice.
    instances[1250] = replace(instances[1250], address=instances[1].address)
    twice = endpoints.assigned("user", ((*_targets(instances),),))
    assert not quick.is_plainly_good(twice)


def _targets(instances: list[Instance]) -> list[endpoints.Target]:
    return [endpoints.Target(one.address, one.port, False, 1, 1, one.locality) for one in instances]


def test_instances_differ_where_they_are_not_the_same_objects() -> None:
    one, two, three, four = map(numbered, range(4))
    other = replace(two, port=81)

    assert differing_instances((), ()) == ([], [])
    assert differing_instances((one, two), (one, two)) == ([], [])
    assert differing_instances((one, two, three), (one, other, three)) == ([two], [other])
    assert differing_instances((one, three, four), (one, two, three, four)) == ([], [two])
    assert differing_instances((one, two, three, four), (two, four)) == ([one, three], [])
    assert differing_instances((one,), ()) == ([one], [])
