"""The guards go on from what they knew: it comes to the same as a fresh look, and costs what changed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guard.test_guards import KEEPING, OPTIONS, PUBLISH, Guards, fleet, policy, service
from tests.rig.work import steps
from xds_server.guard.shrink import Fleet
from xds_server.guard.window import Sums, size
from xds_server.model.catalog import Catalog, Service
from xds_server.model.policy import LastEndpoint
from xds_server.model.table import Table

_NAMES = [f"s{number}" for number in range(12)]
_changes = st.dictionaries(st.sampled_from([*_NAMES, "S1"]), st.integers(0, 6), max_size=8)
_steps = st.lists(
    st.tuples(_changes, st.floats(0, 400), st.booleans(), st.sampled_from(LastEndpoint), st.booleans()),
    min_size=1,
    max_size=12,
)


def changed(services: Table[Service], counts: dict[str, int]) -> Table[Service]:
    """Zero instances are none at all for every other name, as sources have it."""
    return services.changed(
        {
            name: service(name, count) if count or number % 2 else None
            for number, (name, count) in enumerate(counts.items())
        }
    )


@given(history=_steps)
@settings(deadline=None, max_examples=60)
def test_what_is_kept_as_it_goes_is_what_a_fresh_look_gives(history):
    guards = Guards(KEEPING)
    services = fleet(12, 2).services
    for counts, after, live, mode, related in history:
        services = changed(services, counts)
        guards.live, guards.policy = live, policy(mode)
        # A source may make its table anew as well, and then nothing tells how it came to be.
        candidate = Catalog(datacenter="dc1", services=services if related else Table(services))
        decision = guards.weigh(candidate, after=after)
        state = decision.state
        assert state.fleet == Fleet.of(state.believed)
        gone = {name: one.service for name, one in state.departed.items()}
        assert decision.catalog.services == {**state.believed, **gone}
        assert list(decision.catalog.services) == sorted({**state.believed, **gone})
        fresh = Sums()
        for name, one in state.watch.past.first.items():
            has = size(state.believed.get(name))
            fresh = fresh.plus(size(one), has, has)
        assert state.watch.past.sums == fresh
        assert {name for _, names in state.watch.past.times for name in names} == set(state.watch.past.before)


def _settled(services, options):
    guards = Guards(options)
    whole = fleet(services, 3)
    guards.weigh(whole)
    # One has left lately, and numbers have changed.
    left = whole.services.changed({"s00007": None})
    guards.weigh(Catalog(datacenter="dc1", services=left), after=1.0)
    fewer = left.changed({"s00008": service("s00008", 2)})
    guards.weigh(Catalog(datacenter="dc1", services=fewer), after=1.0)
    return guards, fewer


@pytest.mark.parametrize("options", [OPTIONS, KEEPING], ids=["plain", "with clusters that outlive"])
@pytest.mark.parametrize("count", [2, 3, 4], ids=["fewer", "others", "more"])
def test_a_change_costs_the_same_in_any_catalog(options, count):
    found = []
    for size_of_catalog in (100, 1000):
        guards, services = _settled(size_of_catalog, options)
        candidate = Catalog(
            datacenter="dc1", services=services.changed({"s00009": service("s00009", count, first=1)})
        )
        found.append(steps(lambda guards=guards, candidate=candidate: guards.weigh(candidate, after=1.0)))
        assert guards.decision.catalog.services["s00009"] is candidate.services["s00009"]
    assert found[1] < 1.1 * found[0], found


def test_what_comes_in_between_is_not_compared_with_everything():
    guards, services = _settled(1000, KEEPING)
    served = guards.decision.catalog.services
    candidate = Catalog(datacenter="dc1", services=services.changed({"s00009": service("s00009", 4)}))
    later = guards.weigh(candidate, after=1.0).catalog.services
    assert later.changed_between(served) == {"s00009"}
    assert guards.policy is PUBLISH
