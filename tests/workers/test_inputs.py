"""The inputs arrive at a worker as they were sent, and a change costs what it changes."""

from dataclasses import replace
from types import MappingProxyType

from tests.files.last_good_states import EVERYTHING
from tests.rig.random_catalogs import Drawing
from xds_server.app.workers.coding import decode, encode
from xds_server.app.workers.inputs import NOTHING, Inputs, Receiver, news
from xds_server.app.workers.messages import Done, Part
from xds_server.model.catalog import Catalog, Instance, Service
from xds_server.model.entries import ConfigEntries
from xds_server.model.policy import Policy
from xds_server.model.secret import Secret, Secrets
from xds_server.runtime.history import Past

POLICY, SECRETS = Policy(), Secrets(by_name=MappingProxyType({"a": Secret(name="a", private_key=b"key")}))


class Pair:
    """Both ends, and the bytes between them."""

    def __init__(self):
        self.sent = NOTHING
        self.receiver = Receiver()
        self.messages = []
        self.size = 0

    def send(self, inputs):
        """Send what is different; give what the other end has then."""
        coded = [encode(message) for message in news(self.sent, inputs)]
        self.sent, self.size = inputs, sum(map(len, coded))
        self.messages = [decode(one) for one in coded]
        taken = [self.receiver.take(message) for message in self.messages]
        assert taken[:-1] == [None] * (len(taken) - 1)
        return taken[-1]


def service(name, *ids):
    return Service.of(name, [Instance(node="n1", id=one, address="10.0.0.1", port=80) for one in ids])


def large(count=1000):
    return Catalog.of("dc1", [service(f"s-{number:04}", "1", "2") for number in range(count)])


def test_one_after_another_arrives_as_it_is():
    pair, drawing = Pair(), Drawing(7)
    catalogs = [EVERYTHING.catalog, *(drawing.draw().catalog for _ in range(40)), EVERYTHING.catalog]
    for catalog in catalogs:
        taken = pair.send(Inputs(catalog=catalog, policy=POLICY, secrets=SECRETS))
        assert taken.catalog == catalog
        assert list(taken.catalog.services) == list(catalog.services)
        assert list(taken.catalog.entries.overrides) == sorted(catalog.entries.overrides)
        assert (taken.policy, taken.secrets) == (POLICY, SECRETS)


def test_a_change_costs_what_it_changes_and_the_rest_stays_what_it_is():
    pair, whole = Pair(), large()
    first = pair.send(Inputs(catalog=whole, policy=POLICY, secrets=SECRETS))
    whole_size = pair.size
    other = replace(
        whole, services=whole.services.changed({"s-0007": service("s-0007", "3"), "s-0008": None})
    )
    second = pair.send(Inputs(catalog=other, policy=POLICY, secrets=SECRETS))

    assert pair.size < 2000 < whole_size
    assert [set(one.values) for one in pair.messages if isinstance(one, Part)] == [{"s-0007", "s-0008"}]
    assert second.catalog == other
    assert second.catalog.services["s-0000"] is first.catalog.services["s-0000"]
    assert second.catalog.entries is first.catalog.entries
    assert second.policy is first.policy
    assert second.secrets is first.secrets


def test_long_tables_come_in_parts_that_take_effect_together():
    pair = Pair()
    pair.send(Inputs(catalog=large()))

    assert len(pair.messages) > 10
    assert all(isinstance(one, Part) for one in pair.messages[:-2])
    assert isinstance(pair.messages[-1], Done)


def test_entries_and_problems_travel_when_they_change():
    pair, catalog = Pair(), replace(EVERYTHING.catalog, entries=ConfigEntries())
    pair.send(Inputs(catalog=catalog))
    for entries in (EVERYTHING.catalog.entries, replace(EVERYTHING.catalog.entries, chains={})):
        changed = replace(catalog, entries=entries)
        assert pair.send(Inputs(catalog=changed)).catalog == changed
    emptied = replace(changed, problems=())
    assert pair.send(Inputs(catalog=emptied)).catalog == emptied
    assert pair.send(Inputs(catalog=catalog)).catalog == catalog


def test_a_pin_is_told_by_what_differs_from_what_is_believed():
    pair, whole = Pair(), large()
    past = Past(number=3, at=5.0, catalog=whole, policy=POLICY)
    believed = replace(whole, services=whole.services.changed({"s-0001": None}))
    pair.send(Inputs(catalog=believed))
    pinned = pair.send(Inputs(catalog=believed, pin=past))
    assert pair.size < 2000
    assert (pinned.pin.number, pinned.pin.at, pinned.pin.policy) == (3, 5.0, POLICY)
    assert (pinned.pin.catalog, pinned.catalog) == (whole, believed)

    # The pin stays the very object while the catalog goes on.
    later = replace(believed, services=believed.services.changed({"s-0002": None}))
    assert pair.send(Inputs(catalog=later, pin=past)).pin is pinned.pin
    released = pair.send(Inputs(catalog=later))
    assert released.pin is None
    assert released.catalog == later


def test_nothing_new_is_one_short_message():
    pair, inputs = Pair(), Inputs(catalog=large(10), policy=POLICY, secrets=SECRETS)
    first = pair.send(inputs)
    again = pair.send(replace(inputs))

    assert pair.messages == [Done()]
    assert again.catalog is first.catalog
