"""The guards of the catalog, each row of their tables, and what follows for any sequence of inputs."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xds_server.guard import Decision, Evidence, GuardOptions, beginning, weigh
from xds_server.model.catalog import Catalog, Instance, Service
from xds_server.model.policy import LastEndpoint, Policy, ServicePolicy
from xds_server.model.table import Table

OPTIONS = GuardOptions(remove_clusters_after=0.0)
KEEPING = GuardOptions()
PUBLISH = Policy()


def policy(mode):
    return Policy(defaults=ServicePolicy(last_endpoint=mode))


def instance(identity):
    return Instance(node="n1", id=identity, address="10.0.0.1", port=8080)


def service(name, count=1, first=0):
    return Service.of(name, [instance(f"{name}-{n}") for n in range(first, first + count)])


def catalog(**counts):
    return Catalog.of("dc1", [service(name, count) for name, count in counts.items()])


def fleet(count, instances=1):
    return Catalog.of("dc1", [service(f"s{n:05}", instances) for n in range(count)])


def without(whole, *names):
    left = {name: one for name, one in whole.services.items() if name not in names}
    return replace(whole, services=Table(left))


def first(whole, count):
    return replace(whole, services=Table(dict(list(whole.services.items())[:count])))


def sizes(decision):
    return {name: len(one.instances) for name, one in decision.catalog.services.items() if not one.departed}


class Guards:
    """Weighs one catalog after the other, in a time of its own."""

    def __init__(self, options=OPTIONS, policy=PUBLISH, restored=None):
        self.options, self.policy = options, policy
        self.state = beginning(restored)
        self.now, self.live = 1000.0, True
        self.decision: Decision

    def weigh(self, candidate, *, after=0.0, accept=()):
        self.now += after
        evidence = Evidence(now=self.now, live=self.live)
        self.decision = weigh(self.state, candidate, evidence, self.policy, self.options, frozenset(accept))
        self.state = self.decision.state
        return self.decision

    @property
    def held(self):
        return [hold.id for hold in self.decision.holds]


# --- what nobody holds --------------------------------------------------------------------------------------


def test_the_first_catalog_passes_and_so_does_all_that_takes_nothing_away():
    guards, whole = Guards(), fleet(100)
    assert guards.weigh(whole).catalog is whole
    more = replace(whole, services=whole.services.changed({"zz": service("zz", 3)}))
    decision = guards.weigh(more)
    assert decision.catalog is more
    assert decision.again is None
    assert not decision.holds


@pytest.mark.parametrize(
    ("services", "left"),
    [(2, 1), (4, 1), (10, 7), (20, 14), (100, 70), (2, 0), (1, 0)],
    ids=str,
)
def test_few_services_or_a_small_share_may_go_at_once(services, left):
    guards, whole = Guards(), fleet(services)
    guards.weigh(whole)
    smaller = first(whole, left)
    assert guards.weigh(smaller).catalog is smaller
    assert guards.held == []


def test_a_rolling_update_that_replaces_every_instance_is_no_loss():
    guards = Guards()
    guards.weigh(Catalog.of("dc1", [service("user", 40)]))
    for moved in range(1, 41):
        rolled = Catalog.of("dc1", [service("user", 40, first=moved)])
        assert guards.weigh(rolled, after=1.0).catalog is rolled


# --- fleet-shrink -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("services", "left"), [(3, 0), (10, 4), (16, 11), (100, 69), (100, 0)], ids=str)
def test_a_large_share_of_the_services_stays_as_it_was(services, left):
    guards, whole = Guards(), fleet(services)
    guards.weigh(whole)
    decision = guards.weigh(first(whole, left), after=1.0)
    assert guards.held == ["fleet-shrink"]
    assert decision.catalog.services == whole.services
    assert all(decision.catalog.services[name] is one for name, one in whole.services.items())
    (hold,) = decision.holds
    assert f"{services - left} of {services} services" in hold.sentence
    assert (hold.since, hold.until) == (1001.0, 1301.0)
    assert decision.again == 1301.0


@pytest.mark.parametrize(
    ("before", "after", "held"), [(20, 10, False), (20, 9, True), (19, 9, True), (9, 0, False)]
)
def test_more_than_half_of_the_endpoints_of_one_service_are_held(before, after, held):
    guards = Guards()
    guards.weigh(catalog(user=before, order=0))
    decision = guards.weigh(catalog(user=after, order=0))
    assert guards.held == (["fleet-shrink"] if held else [])
    assert sizes(decision).get("user", 0) == (before if held else after)


def test_what_is_added_or_changed_passes_while_the_rest_is_held():
    guards, whole = Guards(), fleet(10, 2)
    guards.weigh(whole)
    changed = Service.of("s00000", [replace(one, port=9090) for one in whole.services["s00000"].instances])
    partly = service("s00001", 1)
    candidate = Catalog.of("dc1", [changed, partly, service("new", 3)])
    services = guards.weigh(candidate).catalog.services
    assert guards.held == ["fleet-shrink"]
    assert services["s00000"] is changed
    assert len(services["new"].instances) == 3
    assert services["s00001"] is whole.services["s00001"]
    assert services["s00005"] is whole.services["s00005"]
    assert list(services) == sorted(services)


def test_small_losses_add_up_within_the_window_and_not_beyond_it():
    whole = fleet(20)
    for pause, held in ((10.0, ["fleet-shrink"]), (61.0, [])):
        guards = Guards()
        guards.weigh(whole)
        for left in (17, 14):
            guards.weigh(first(whole, left), after=pause)
            assert guards.held == []
        guards.weigh(first(whole, 11), after=pause)
        assert guards.held == held


@pytest.mark.parametrize("options", [OPTIONS, KEEPING], ids=["plain", "with clusters that outlive"])
def test_a_loss_that_arrives_in_pieces_is_held_whole(options):
    guards, whole = Guards(options), fleet(20)
    guards.weigh(whole)
    for left in range(19, 3, -1):
        decision = guards.weigh(first(whole, left), after=0.01)
    assert guards.held == ["fleet-shrink"]
    assert decision.catalog.services == whole.services
    assert all(decision.catalog.services[name] is one for name, one in whole.services.items())
    # Its time begins with the hold.
    assert decision.holds[0].until == pytest.approx(guards.now + 300.0, abs=0.2)
    guards.weigh(first(whole, 4), after=299.0)
    assert len(sizes(guards.decision)) == 20
    guards.weigh(first(whole, 4), after=2.0)
    assert len(sizes(guards.decision)) == 4
    assert guards.held == []


def test_what_was_replaced_shortly_before_a_loss_does_not_come_back():
    guards, whole = Guards(), fleet(20)
    guards.weigh(whole)
    moved = replace(whole, services=whole.services.changed({"s00000": service("s00000", 2, first=7)}))
    guards.weigh(moved, after=1.0)
    decision = guards.weigh(first(moved, 3), after=1.0)
    assert guards.held == ["fleet-shrink"]
    assert decision.catalog.services["s00000"] is moved.services["s00000"]


def test_a_hold_does_not_end_because_its_window_has_passed():
    guards, whole = Guards(), fleet(20)
    guards.weigh(whole)
    guards.weigh(first(whole, 14), after=1.0)
    guards.weigh(first(whole, 13), after=30.0)
    assert guards.held == ["fleet-shrink"]
    guards.weigh(first(whole, 13), after=100.0)
    assert guards.held == ["fleet-shrink"]


def test_it_ends_when_most_is_back_and_then_the_truth_is_served():
    guards, whole = Guards(), fleet(20)
    guards.weigh(whole)
    guards.weigh(first(whole, 5), after=1.0)
    back = first(whole, 18)
    assert guards.weigh(back, after=1.0).catalog is back
    assert guards.held == []
    assert guards.weigh(whole, after=1.0).catalog is whole


def test_it_ends_when_the_source_has_lacked_the_same_for_long_enough():
    guards, whole = Guards(), fleet(20)
    guards.weigh(whole)
    candidate = first(whole, 5)
    guards.weigh(candidate, after=1.0)
    guards.weigh(candidate, after=299.0)
    assert guards.held == ["fleet-shrink"]
    assert guards.weigh(candidate, after=1.0).catalog is candidate
    assert guards.held == []
    # What was believed after a hold is no reason to doubt a small loss next.
    smaller = first(whole, 4)
    assert guards.weigh(smaller, after=1.0).catalog is smaller


def test_the_clock_stands_while_the_source_is_not_live():
    guards, whole = Guards(), fleet(20)
    guards.weigh(whole)
    candidate = first(whole, 5)
    guards.weigh(candidate)
    guards.live = False
    decision = guards.weigh(candidate, after=100.0)
    assert decision.again is None
    assert decision.holds[0].until is None
    guards.weigh(candidate, after=1000.0)
    guards.live = True
    guards.weigh(candidate, after=1000.0)
    assert guards.held == ["fleet-shrink"]
    # 100 s passed before it was noticed that the source was not live any more; 200 s are left.
    guards.weigh(candidate, after=199.0)
    assert guards.held == ["fleet-shrink"]
    guards.weigh(candidate, after=1.0)
    assert guards.held == []


def test_what_goes_missing_later_is_held_for_a_time_of_its_own_and_costs_the_others_none():
    guards, whole = Guards(), fleet(20)
    guards.weigh(whole)
    guards.weigh(first(whole, 8))
    decision = guards.weigh(first(whole, 7), after=200.0)
    assert len(sizes(decision)) == 20
    decision = guards.weigh(first(whole, 7), after=100.0)
    # The twelve have been missing for 300 s. One of eight is no mass loss.
    assert len(sizes(decision)) == 7
    assert guards.held == []


def test_a_hold_of_no_time_ends_at_once():
    guards, whole = Guards(replace(OPTIONS, hold=0.0)), fleet(20)
    guards.weigh(whole)
    candidate = first(whole, 8)
    decision = guards.weigh(candidate)
    assert decision.again == guards.now
    assert guards.weigh(candidate).catalog is candidate


def test_what_is_left_of_a_hold_ends_at_its_own_time():
    guards, whole = Guards(), fleet(40)
    guards.weigh(whole)
    guards.weigh(first(whole, 20))
    decision = guards.weigh(first(whole, 5), after=100.0)
    assert decision.again == 1300.0
    decision = guards.weigh(first(whole, 5), after=200.0)
    # Twenty are believed to be gone; of the other twenty fifteen are missing.
    assert guards.held == ["fleet-shrink"]
    assert len(sizes(decision)) == 20
    assert decision.again == 1400.0
    guards.weigh(first(whole, 5), after=100.0)
    assert guards.held == []


def test_churn_does_not_keep_it_from_ending():
    guards, whole = Guards(), fleet(20)
    guards.weigh(whole)
    for minute in range(6):
        busy = replace(
            first(whole, 5), services=first(whole, 5).services.changed({"busy": service("busy", 3, minute)})
        )
        guards.weigh(busy, after=60.0)
    assert guards.weigh(busy, after=60.0).catalog is busy
    assert guards.held == []


def test_accept_ends_it_at_once():
    guards, whole = Guards(), fleet(20)
    guards.weigh(whole)
    candidate = first(whole, 5)
    guards.weigh(candidate)
    assert guards.weigh(candidate, accept=["fleet-shrink"]).catalog is candidate
    assert guards.held == []


def test_the_operators_own_file_may_halve_the_catalog_but_not_empty_it():
    guards, whole = Guards(replace(OPTIONS, own_word=True)), fleet(20, 5)
    guards.weigh(whole)
    half = first(whole, 1)
    assert guards.weigh(half).catalog is half
    decision = guards.weigh(catalog())
    assert guards.held == ["fleet-shrink"]
    assert decision.catalog.services == half.services
    assert not guards.weigh(catalog(), accept=["fleet-shrink"]).catalog.services


def test_the_first_catalog_is_weighed_against_what_an_earlier_run_served():
    whole = fleet(20)
    guards = Guards(restored=whole)
    decision = guards.weigh(first(whole, 3))
    assert guards.held == ["fleet-shrink"]
    assert len(sizes(decision)) == 20


def test_what_had_departed_in_an_earlier_run_is_not_believed_to_be_there():
    guards = Guards(KEEPING)
    guards.weigh(catalog(user=1, order=1))
    stored = guards.weigh(catalog(order=1)).catalog
    assert stored.services["user"].departed
    again = Guards(KEEPING, restored=stored)
    assert again.weigh(catalog(order=1)).catalog.services["user"].departed
    again.weigh(catalog(order=1), after=601.0)
    assert "user" not in again.decision.catalog.services


# --- last-endpoint ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [catalog(order=1), catalog(order=1, user=0)], ids=["no service", "no row"])
def test_a_service_without_an_instance_goes_by_its_policy(gone):
    whole = catalog(order=1, user=2)
    for mode, kept in ((LastEndpoint.PUBLISH, 0), (LastEndpoint.HOLD, 2), (LastEndpoint.KEEP, 2)):
        guards = Guards(policy=policy(mode))
        guards.weigh(whole)
        decision = guards.weigh(gone)
        assert sizes(decision).get("user", 0) == kept
        assert guards.held == (["last-endpoint/user"] if kept else [])
        if kept:
            assert decision.catalog.services["user"] is whole.services["user"]


def test_hold_ends_by_time_and_keep_does_not():
    for mode, kept in ((LastEndpoint.HOLD, 0), (LastEndpoint.KEEP, 2)):
        guards = Guards(policy=policy(mode))
        guards.weigh(catalog(user=2, order=1))
        decision = guards.weigh(catalog(order=1))
        assert decision.again == (1030.0 if mode is LastEndpoint.HOLD else None)
        assert len(sizes(guards.weigh(catalog(order=1), after=29.9))) == 2
        assert sizes(guards.weigh(catalog(order=1), after=1e6)).get("user", 0) == kept


def test_an_instance_ends_it_and_so_does_accept():
    guards = Guards(policy=policy(LastEndpoint.KEEP))
    guards.weigh(catalog(user=2, order=1))
    guards.weigh(catalog(order=1))
    back = catalog(user=1, order=1)
    assert guards.weigh(back).catalog is back
    guards.weigh(catalog(order=1))
    assert guards.held == ["last-endpoint/user"]
    guards.weigh(catalog(order=1), accept=["last-endpoint/order"])
    assert guards.held == ["last-endpoint/user"]
    guards.weigh(catalog(order=1), accept=["last-endpoint/user"])
    assert guards.held == []
    assert "user" not in sizes(guards.decision)


def test_a_changed_policy_counts_at_once():
    guards = Guards(policy=policy(LastEndpoint.KEEP))
    guards.weigh(catalog(user=2, order=1))
    guards.weigh(catalog(order=1))
    guards.policy = PUBLISH
    guards.weigh(catalog(order=1))
    assert guards.held == []


# --- outlive ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [catalog(order=1), catalog(order=1, user=0)], ids=["no service", "no row"])
def test_the_clusters_of_a_service_that_left_stay_for_a_while(gone):
    guards = Guards(KEEPING)
    whole = catalog(order=1, user=2)
    guards.weigh(whole)
    decision = guards.weigh(gone)
    left = decision.catalog.services["user"]
    assert left.departed
    assert left.instances == whole.services["user"].instances
    assert list(decision.catalog.services) == ["order", "user"]
    assert decision.again == 1600.0
    assert guards.weigh(catalog(order=1), after=599.0).catalog.services["user"] is left
    assert "user" not in guards.weigh(catalog(order=1), after=1.0).catalog.services


def test_a_service_that_is_back_is_its_own_again():
    guards = Guards(KEEPING)
    guards.weigh(catalog(order=1, user=2))
    guards.weigh(catalog(order=1))
    back = catalog(order=1, user=1)
    assert guards.weigh(back).catalog is back


def test_a_twin_in_other_capitals_takes_the_place():
    guards = Guards(KEEPING)
    guards.weigh(catalog(order=1, user=2))
    swapped = catalog(order=1, User=2)
    assert guards.weigh(swapped).catalog is swapped


def test_never_and_at_once():
    guards = Guards(replace(KEEPING, remove_clusters_after=None))
    guards.weigh(catalog(order=1, user=2))
    decision = guards.weigh(catalog(order=1))
    assert decision.again is None
    assert guards.weigh(catalog(order=1), after=1e7).catalog.services["user"].departed
    guards = Guards(OPTIONS)
    guards.weigh(catalog(order=1, user=2))
    gone = catalog(order=1)
    assert guards.weigh(gone).catalog is gone


def test_of_many_that_left_the_first_are_forgotten(monkeypatch):
    monkeypatch.setattr("xds_server.guard.outlive._MOST", 3)
    guards, whole = Guards(KEEPING), fleet(10)
    guards.weigh(whole)
    for left in range(9, 4, -1):
        guards.weigh(first(whole, left), after=61.0)
    departed = [name for name, one in guards.decision.catalog.services.items() if one.departed]
    assert departed == ["s00005", "s00006", "s00007"]


# --- whatever happens ---------------------------------------------------------------------------------------

_catalogs = st.builds(
    lambda counts: Catalog.of("dc1", [service(f"s{n}", count) for n, count in counts.items()]),
    st.dictionaries(st.integers(0, 11), st.integers(0, 6), max_size=12),
)
_steps = st.lists(
    st.tuples(_catalogs, st.floats(0, 400), st.booleans(), st.sampled_from(LastEndpoint)),
    min_size=1,
    max_size=8,
)


@given(steps=_steps)
@settings(deadline=None)
def test_what_is_added_always_passes_and_in_the_end_the_truth_is_served(steps):
    guards = Guards(KEEPING)
    for candidate, after, live, mode in steps:
        guards.live, guards.policy = live, policy(mode)
        decision = guards.weigh(candidate, after=after)
        for name, one in candidate.services.items():
            there = decision.catalog.services[name]
            assert one.departed or set(one.instances) <= set(there.instances)
        assert not decision.again or decision.again >= guards.now
    # Left alone, with a live source and no service kept for ever, every hold ends by its own timer.
    guards.live, guards.policy = True, PUBLISH
    decision = guards.weigh(candidate)
    for _ in range(100):
        if decision.again is None:
            break
        decision = guards.weigh(candidate, after=max(0.0, decision.again - guards.now) + 0.001)
    assert not decision.holds
    assert decision.catalog == candidate


@given(steps=_steps)
@settings(deadline=None, max_examples=50)
def test_it_is_pure(steps):
    one, other = Guards(KEEPING), Guards(KEEPING)
    for candidate, after, live, mode in steps:
        for guards in (one, other):
            guards.live, guards.policy = live, policy(mode)
            guards.weigh(candidate, after=after)
        assert one.decision == other.decision
