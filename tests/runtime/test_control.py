"""The operator's hand, on a real pipeline."""

import asyncio
from dataclasses import replace

import pytest

from tests.rig.eventually import eventually
from tests.runtime.inputs import LOOPBACK, Inputs, catalog
from xds_server import telemetry
from xds_server.model.hold import Hold
from xds_server.model.problem import Code, Problem
from xds_server.model.proxy import Group, Proxy
from xds_server.model.secret import Secrets
from xds_server.model.standing import State
from xds_server.model.types import TypeUrl
from xds_server.runtime.changes import MOST_NAMES, change
from xds_server.runtime.control import MAX_REASON, Control, ControlError, Kept, Kind
from xds_server.runtime.history import History, Past
from xds_server.runtime.pipeline import EVERYONE

HOLD = Hold(guard="last-endpoint", subject="user", sentence="It went.", release="accept", since=1.0)


class FakeGuarding:
    """Holds one thing."""

    def __init__(self):
        self.holds = (HOLD,)

    def accept(self, hold_id):
        released = tuple(one for one in self.holds if hold_id in (None, one.id))
        self.holds = tuple(one for one in self.holds if one not in released)
        return released


@pytest.fixture
async def inputs():
    made = Inputs(catalog(a=1))
    running = asyncio.create_task(made.pipeline.run())
    await made.pipeline.snapshot.get()
    yield made
    running.cancel()


@pytest.fixture
def control(inputs):
    yield Control(inputs.pipeline, FakeGuarding(), clock=lambda: 1000.0)
    telemetry.FROZEN.set(0)


def clusters(inputs):
    return set(inputs.pipeline.snapshot.value.sets[TypeUrl.CLUSTER].by_name)


async def publish(inputs, **ports):
    """Publish a catalog and wait until it is served."""
    inputs.catalog.publish(catalog(**ports))
    await eventually(lambda: clusters(inputs) == set(ports))


async def settled(inputs):
    """Wait until everything there is was tried."""
    line = inputs.pipeline._lines[EVERYONE]
    await eventually(lambda: inputs.pipeline._inputs().same(line.tried))


async def test_frozen_nothing_changes_until_it_is_released(inputs, control):
    before = inputs.pipeline.snapshot.value
    outcome = control.freeze("uid 1", "INC-42")
    assert outcome.changed
    for port in range(2, 7):
        inputs.catalog.publish(catalog(a=port, b=port))
        inputs.policy.publish(replace(LOOPBACK, hidden_services=frozenset({"a"})))
        await settled(inputs)
    assert inputs.pipeline.snapshot.value is before
    assert telemetry.REGISTRY.get_sample_value("xds_frozen") == 1
    (standing,) = control.standings
    assert standing.state is State.FROZEN
    assert standing.source == "operator"
    assert "INC-42" in standing.reason

    assert control.thaw("uid 1").changed
    await eventually(lambda: clusters(inputs) == {"b"})
    assert telemetry.REGISTRY.get_sample_value("xds_frozen") == 0
    assert control.standings == ()
    assert control.view() is None


async def test_what_a_client_is_served_already_is_frozen_though_people_are_not_shown_it_yet(inputs, control):
    """The group of everyone, which the history is of, is built less often where nobody is connected to it."""
    proxy = Proxy(id="a", group=Group(admin_port=9901))
    with inputs.pipeline.join(proxy) as kind:
        for port in range(2, 5):
            inputs.catalog.publish(newest := catalog(a=port))
            await inputs.pipeline.newest(proxy)
        assert inputs.pipeline.history.states[-1].catalog is not newest
        control.freeze("uid 1")
        served = kind.snapshots.value
        inputs.catalog.publish(catalog(a=9))
        await settled(inputs)
        await inputs.pipeline.newest(proxy)
        assert kind.snapshots.value is served
        assert inputs.pipeline.pinned.catalog is newest


async def test_secrets_go_on_while_frozen(inputs, control):
    control.freeze("uid 1")
    problem = Problem(code=Code.SECRET_INVALID, source="a file", sentence="It has expired.")
    inputs.secrets.publish(Secrets(problems=(problem,)))
    await eventually(lambda: problem in inputs.pipeline.problems)


async def test_what_is_under_way_when_it_is_frozen_is_not_published(inputs, control, monkeypatch):
    """A build takes seconds in a large catalog; the operator means what is served when he says so."""
    from xds_server.runtime import building as module  # noqa: PLC0415

    begun, go_on, real = asyncio.Event(), asyncio.Event(), module.in_slices

    async def slow(steps):
        begun.set()
        await go_on.wait()
        return await real(steps)

    monkeypatch.setattr(module, "in_slices", slow)
    before = inputs.pipeline.snapshot.value
    inputs.catalog.publish(catalog(a=1, b=2))
    await begun.wait()
    control.freeze("uid 1")
    under_way = asyncio.create_task(inputs.pipeline._lines[EVERYONE].round_done())
    await asyncio.sleep(0)
    go_on.set()
    await under_way
    assert inputs.pipeline.snapshot.value is before
    await settled(inputs)
    assert inputs.pipeline.snapshot.value is before
    control.thaw("uid 1")
    await eventually(lambda: clusters(inputs) == {"a", "b"})


async def test_rolled_back_the_bytes_are_those_of_before(inputs, control):
    first = inputs.pipeline.snapshot.value
    await publish(inputs, a=1, b=2)
    second = inputs.pipeline.snapshot.value
    await publish(inputs, a=9)

    control.rollback(None, "uid 1")
    await eventually(lambda: same_bytes(inputs.pipeline.snapshot.value, second))
    assert control.serving == second.sequence
    # Once more goes further back, and not to and fro.
    control.rollback(None, "uid 1")
    await eventually(lambda: same_bytes(inputs.pipeline.snapshot.value, first))
    with pytest.raises(ControlError, match="there is no earlier state"):
        control.rollback(None, "uid 1")
    control.rollback(second.sequence, "uid 1")
    await eventually(lambda: same_bytes(inputs.pipeline.snapshot.value, second))
    assert len(inputs.pipeline.history.states) == 3
    control.thaw("uid 1")
    await eventually(lambda: clusters(inputs) == {"a"})


def same_bytes(one, other):
    def packed(snapshot):
        return {
            (kind, name): entry.packed
            for kind, entries in snapshot.sets.items()
            for name, entry in entries.by_name.items()
        }

    return packed(one) == packed(other)


async def test_a_number_that_is_not_there(control):
    with pytest.raises(ControlError, match="state 77 is not remembered; the history has 1"):
        control.rollback(77, "uid 1")


async def test_rolled_back_to_what_is_served_already(inputs, control):
    number = control.serving
    assert control.rollback(number, "uid 1").changed
    assert not control.rollback(number, "uid 1").changed


async def test_twice_frozen_is_said(control):
    assert control.freeze("uid 1").changed
    outcome = control.freeze("uid 2")
    assert not outcome.changed
    assert "by uid 1" in outcome.sentence


async def test_not_frozen_is_said(control):
    assert not control.thaw("uid 1").changed


def test_there_is_nothing_to_freeze_yet():
    with pytest.raises(ControlError, match="nothing is served yet"):
        Control(Inputs().pipeline).freeze("uid 1")
    with pytest.raises(ControlError, match="the history is empty"):
        Control(Inputs().pipeline).rollback(None, "uid 1")


async def test_a_hold_is_released_by_its_name(control):
    with pytest.raises(ControlError, match="there is no hold 'x'; held is last-endpoint/user"):
        control.accept("x", "uid 1")
    assert "last-endpoint/user" in control.accept("last-endpoint/user", "uid 1").sentence
    assert control.holds == ()
    assert not control.accept(None, "uid 1").changed


async def test_released_while_frozen_it_comes_later(control):
    control.freeze("uid 1")
    assert "once the freeze is released" in control.accept(None, "uid 1").sentence


async def test_a_freeze_outlives_a_restart(inputs, control):
    control.freeze("uid 1", "INC-42")
    (pinned,) = control.pinned.value
    fresh = Inputs()
    again = Control(fresh.pipeline)
    again.restore(pinned.kept, pinned.past.catalog, fresh.policy.value)
    running = asyncio.create_task(fresh.pipeline.run())
    fresh.secrets.publish(Secrets())
    await fresh.pipeline.snapshot.get()
    fresh.catalog.publish(catalog(c=3))
    await settled(fresh)
    assert clusters(fresh) == {"a"}
    assert again.view() == {
        "kind": "frozen",
        "number": pinned.kept.number,
        "since": 1000.0,
        "by": "uid 1",
        "reason": "INC-42",
    }
    again.thaw("uid 1")
    await eventually(lambda: clusters(fresh) == {"c"})
    running.cancel()


async def test_a_reason_is_cut(control):
    control.freeze("uid 1", "x" * 10_000)
    assert len(control.view()["reason"]) == MAX_REASON


async def test_each_action_is_in_the_log(control, caplog):
    caplog.set_level("INFO", "xds_server")
    control.freeze("uid 7", "why")
    control.thaw("uid 8")
    control.rollback(control.serving, "uid 9")
    control.accept(None, "uid 10")
    said = [
        (record.message, record.fields["by"]) for record in caplog.records if "control." in record.message
    ]
    assert said == [
        ("control.frozen", "uid 7"),
        ("control.thawed", "uid 8"),
        ("control.rolled_back", "uid 9"),
        ("control.accepted", "uid 10"),
    ]


# --- the history -----------------------------------------------------------------------------------------


def past(number, served, policy=LOOPBACK):
    return Past(number=number, at=float(number), catalog=served, policy=policy)


def test_only_what_differs_is_a_state_and_the_newest_is_exact():
    history, one, two, three = History(), catalog(a=1), catalog(a=2), catalog(a=3)
    history.note(past(1, one), differs=True)
    # A certificate was rotated: the same catalog, other bytes.
    history.note(past(2, one), differs=True)
    # Nothing differs for all proxies, though it may for a gateway.
    history.note(past(2, two), differs=False)
    assert [(state.number, state.catalog) for state in history.states] == [(1, two)]
    history.note(past(3, three), differs=True)
    assert [(state.number, state.catalog) for state in history.states] == [(1, two), (3, three)]


def test_ten_states_are_kept():
    history = History()
    for number in range(1, 20):
        history.note(past(number, catalog(a=number)), differs=True)
    assert [state.number for state in history.states] == list(range(10, 20))
    assert history.get(9) is None


def test_what_a_state_changed():
    before, after = past(1, catalog(a=1, b=2, c=3)), past(2, catalog(b=9, c=3, d=4))
    found = change(before, after)
    assert (found.added, found.removed, found.changed) == (("d",), ("a",), ("b",))
    assert found.counts == (1, 1, 1)
    assert not found.settings
    assert change(before, past(2, before.catalog, replace(LOOPBACK, hidden_services=frozenset("x")))).settings
    assert change(None, after).counts == (0, 0, 0)


def test_names_are_few_and_counts_are_of_all():
    many = catalog(**{f"s{number}": 1 for number in range(100)})
    found = change(past(1, catalog()), past(2, many))
    assert (len(found.added), found.counts) == (MOST_NAMES, (100, 0, 0))


def test_what_is_kept_is_plain():
    kept = Kept(kind=Kind.FROZEN, number=1, at=1.0, since=2.0, by="uid 1")
    assert Kind(kept.kind.value) is Kind.FROZEN
