"""Groups that read only some services follow the inputs together, and are served as if each did alone."""

import asyncio
import contextlib
import gc
import random
import weakref
from collections import Counter
from dataclasses import replace
from types import MappingProxyType

import pytest

from tests.rig.eventually import eventually
from tests.runtime.inputs import LOOPBACK, Inputs, catalog
from xds_server.model.catalog import Catalog
from xds_server.model.entries import ConfigEntries, IngressGateway, IngressListener, IngressService
from xds_server.model.policy import ServicePolicy
from xds_server.model.proxy import Group, Proxy
from xds_server.model.secret import Secrets
from xds_server.runtime.line import Line
from xds_server.snapshot import EMPTY, build
from xds_server.translate import Translator

GATES = {"north": ("a", "b"), "east": ("b", "c"), "south": ("d",), "west": ("a", "nobody")}
NAMES = "abcdef"


def proxy(gate):
    return Proxy(id=f"edge-{gate}", agent="envoy 1.40.0", group=Group(gateway=gate, static_clusters=()))


def entries(gates):
    found = {}
    for number, (gate, names) in enumerate(sorted(gates.items())):
        services = tuple(IngressService(name=name, hosts=(f"{name}.internal",)) for name in names)
        listener = IngressListener(port=20_000 + number, protocol="http", services=services)
        found[gate] = IngressGateway(name=gate, listeners=(listener,))
    return ConfigEntries(gateways=MappingProxyType(found))


def first():
    return replace(catalog(**dict.fromkeys("abcd", 8000)), entries=entries(GATES))


def with_service(before, name, port):
    """Give a catalog in which one service has another port, is new, or is gone (None)."""
    service = None if port is None else catalog(**{name: port}).services[name]
    return replace(before, services=before.services.changed({name: service}))


def anew(inputs, group):
    """Give what is served to a group by a server that has just started."""
    made = Translator(group).translate(inputs.catalog.value, inputs.policy.value, Secrets())
    return versions(build(made.drafts, made.problems, EMPTY))


def catalogs():
    """Count the catalogs that are held by anything."""
    gc.collect()
    return sum(isinstance(one, Catalog) for one in gc.get_objects())


def versions(snapshot):
    return {
        (one, name): resource.version
        for one, found in snapshot.sets.items()
        for name, resource in found.by_name.items()
    }, snapshot.problems


class Gates:
    """A pipeline with a stream for each gateway that has come."""

    def __init__(self, inputs):
        self.inputs = inputs
        self.pipeline = inputs.pipeline
        self.streams = {}

    async def come(self, gate):
        stack = self.streams[gate] = contextlib.ExitStack()
        stack.enter_context(self.pipeline.join(proxy(gate)))
        await self.pipeline.newest(proxy(gate))

    def go(self, gate):
        self.streams.pop(gate).close()

    def served(self, gate):
        return self.pipeline._lines[proxy(gate).group].snapshot.value

    async def settled(self):
        """Wait until all that is served is of the newest inputs."""
        for gate in self.streams:
            await self.pipeline.newest(proxy(gate))


@contextlib.asynccontextmanager
async def gates():
    inputs = Inputs(first())
    task = asyncio.create_task(inputs.pipeline.run())
    found = Gates(inputs)
    try:
        yield found
    finally:
        task.cancel()


@pytest.fixture
def asked(monkeypatch):
    """Count how often each gateway's line is asked, or made."""
    counts = Counter()

    def counting(real):
        def counted(line, *arguments):
            counts[line.translator._group.gateway] += 1
            return real(line, *arguments)

        return counted

    for name in ("passes", "build"):
        monkeypatch.setattr(Line, name, counting(getattr(Line, name)))
    return counts


async def test_a_change_asks_nothing_of_those_that_do_not_read_it(asked):
    async with gates() as found:
        for gate in GATES:
            await found.come(gate)
        await found.settled()
        before = {gate: found.served(gate) for gate in GATES}
        asked.clear()

        found.inputs.catalog.publish(with_service(found.inputs.catalog.value, "b", 8009))
        await found.settled()

        assert asked["north"] > 0 < asked["east"]
        assert asked["south"] + asked["west"] == 0
        assert found.served("south") is before["south"]
        for gate in GATES:
            assert versions(found.served(gate)) == anew(found.inputs, proxy(gate).group)


async def test_what_was_not_asked_for_long_goes_on_from_where_it_stands():
    async with gates() as found:
        for gate in GATES:
            await found.come(gate)
        for port in range(9000, 9200):
            found.inputs.catalog.publish(with_service(found.inputs.catalog.value, "d", port))
            await found.settled()
        found.inputs.catalog.publish(with_service(found.inputs.catalog.value, "a", 8009))
        await found.settled()

        for gate in GATES:
            assert versions(found.served(gate)) == anew(found.inputs, proxy(gate).group)


async def test_what_was_not_asked_for_long_holds_no_old_catalog():
    async with gates() as found:
        for gate in GATES:
            await found.come(gate)
        await eventually(lambda: found.pipeline.behind is None)
        before, states = catalogs(), len(found.pipeline.history.states)
        for port in range(9000, 9100):
            for name in "abcd":
                found.inputs.catalog.publish(with_service(found.inputs.catalog.value, name, port))
                await found.settled()
        await eventually(lambda: found.pipeline.behind is None)

        assert catalogs() - before <= len(found.pipeline.history.states) - states


async def test_a_newcomer_of_a_group_that_stands_is_served_at_once():
    async with gates() as found:
        await found.come("south")
        found.inputs.catalog.publish(with_service(found.inputs.catalog.value, "a", 8009))
        with found.pipeline.join(proxy("south")):
            async with asyncio.timeout(1):
                assert await found.pipeline.newest(proxy("south")) is found.served("south")


async def test_a_group_that_is_forgotten_is_held_by_nothing(monkeypatch):
    monkeypatch.setattr("xds_server.runtime.pipeline.MAX_GATEWAY_KINDS", 1)
    async with gates() as found:
        await found.come("south")
        await found.settled()
        line = weakref.ref(found.pipeline._lines[proxy("south").group])
        found.go("south")

        await found.come("north")
        await found.settled()

        gc.collect()
        assert line() is None


@pytest.mark.parametrize("seed", range(8))
async def test_after_any_history_all_are_served_what_a_new_server_would_serve(seed):
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    async with gates() as found:
        for _ in range(60):
            act(found, chance)
            gate = chance.choice(list(GATES))
            if gate in found.streams and chance.random() < 0.3:
                found.go(gate)
            elif gate not in found.streams:
                await found.come(gate)
            if chance.random() < 0.5:
                await found.settled()
        await found.settled()

        for gate in found.streams:
            assert versions(found.served(gate)) == anew(found.inputs, proxy(gate).group)
        await eventually(lambda: found.pipeline.behind is None)


def act(found, chance):
    """Change one thing that is published."""
    now, policy = found.inputs.catalog.value, found.inputs.policy
    kind = chance.random()
    if kind < 0.7:
        ports = (None, 8001, 8002, 8003)
        found.inputs.catalog.publish(with_service(now, chance.choice(NAMES), chance.choice(ports)))
    elif kind < 0.8:
        names = {gate: tuple(chance.sample(NAMES, chance.randint(1, 3))) for gate in GATES}
        found.inputs.catalog.publish(replace(now, entries=entries(names)))
    elif kind < 0.9:
        policy.publish(replace(LOOPBACK, hidden_services=frozenset(chance.sample(NAMES, 1))))
    else:
        own = ServicePolicy(connect_timeout=chance.choice((1.0, 2.0)))
        policy.publish(replace(LOOPBACK, services=MappingProxyType({"a": own})))
