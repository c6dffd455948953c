"""Several agents of one cluster, tried in turn."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

import pytest

from tests.consul.fake_consul import LIST, FakeConsul, Reply
from tests.rig.consul_agent import MISSING, ConsulAgent, find_consul, free_ports
from tests.rig.fault_proxy import FaultProxy
from xds_server.consul.address import ConsulAddress
from xds_server.consul.client import ConsulClient
from xds_server.consul.errors import Cut, Refused, Unreachable
from xds_server.consul.query import Query
from xds_server.consul.transport import Limits
from xds_server.telemetry import Event

QUESTION = Query(segments=("v1", "catalog", "services"))


def client_of(*addresses: str, limits: Limits | None = None) -> ConsulClient:
    first, *others = addresses
    return ConsulClient(ConsulAddress(url=first, others=tuple(others)), limits=limits)


@pytest.fixture
def used(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    caplog.set_level(logging.INFO, "xds_server")

    def found() -> list[tuple[str, str]]:
        fields = [one.fields for one in caplog.records if one.getMessage() == Event.CONSUL_ADDRESS_USED]
        return [(one["address"], one["instead_of"]) for one in fields]

    return found


async def test_the_next_address_takes_over_at_once_and_stays(
    used: Callable[[], list[tuple[str, str]]],
) -> None:
    async with FakeConsul() as one, FakeConsul() as two, client_of(one.address, two.address) as client:
        await client.ask(QUESTION)
        assert (client.in_use, two.asked) == (one.address, [])
        await one.__aexit__(None, None, None)
        await client.ask(QUESTION)
        assert client.in_use == two.address
        await one.__aenter__()
        await client.ask(QUESTION)
        assert (one.count(LIST), two.count(LIST)) == (1, 2)
    assert used() == [(one.address, ""), (two.address, one.address)]


async def test_the_error_names_every_address() -> None:
    addresses = [f"http://127.0.0.1:{port}" for port in free_ports(3)]
    async with client_of(*addresses) as client:
        for _ in range(4):
            with pytest.raises(Unreachable, match="none of the 3 Consul addresses") as raised:
                await client.ask(QUESTION)
            assert all(str(raised.value).count(address) == 1 for address in addresses)


async def test_one_address_has_an_error_of_its_own() -> None:
    async with client_of(f"127.0.0.1:{free_ports(1)[0]}") as client:
        with pytest.raises(Unreachable, match=r"^Consul at .* check that an agent runs"):
            await client.ask(QUESTION)


async def test_many_that_fail_at_once_move_on_once() -> None:
    dead = f"http://127.0.0.1:{free_ports(1)[0]}"
    async with (
        FakeConsul() as two,
        FakeConsul() as three,
        client_of(dead, two.address, three.address) as client,
    ):
        await asyncio.gather(*(client.ask(QUESTION) for _ in range(50)))
        assert (two.count(LIST), three.count(LIST)) == (50, 0)


async def test_a_refusal_is_an_answer() -> None:
    async with FakeConsul() as one, FakeConsul() as two, client_of(one.address, two.address) as client:
        one.script(LIST, Reply(status=500, body="No cluster leader"))
        with pytest.raises(Refused):
            await client.ask(QUESTION)
        assert two.asked == []


async def test_an_address_that_hangs_is_left() -> None:
    async with (
        FakeConsul() as one,
        FakeConsul() as two,
        client_of(one.address, two.address, limits=Limits(silence=0.5)) as client,
    ):
        one.script(LIST, Reply(hang=True))
        await client.ask(QUESTION)
        assert client.in_use == two.address


async def test_a_cut_of_a_long_poll_is_told_and_leaves_nobody() -> None:
    async with FakeConsul() as one, FakeConsul() as two, client_of(one.address, two.address) as client:
        one.script(LIST, *[Reply(cut_after=0)] * 2)
        with pytest.raises(Cut):
            await client.ask(QUESTION.at(5, 30))
        assert client.in_use == one.address
        # A balancer without an agent behind it cuts what is not held as well.
        one.script(LIST, *[Reply(cut_after=0)] * 2)
        await client.ask(QUESTION)
        assert client.in_use == two.address


async def test_an_index_is_not_carried_to_another_agent() -> None:
    async with FakeConsul() as one, FakeConsul() as two, client_of(one.address, two.address) as client:
        two._all_moved = two.index = 3
        index = (await client.ask(QUESTION)).index
        one.wake()
        index = (await client.ask(QUESTION.at(index, 30))).index
        await one.__aexit__(None, None, None)
        answer = await client.ask(QUESTION.at(index, 30))
        two.wake()
        await client.ask(QUESTION.at(answer.index, 30))
        await one.__aenter__()
    assert [asked.index for asked in one.asked] == [0, 10]
    assert [asked.index for asked in two.asked] == [0, answer.index]


@pytest.mark.integration
@pytest.mark.skipif(find_consul() is None, reason=MISSING)
async def test_the_watch_goes_on_at_another_way_to_a_real_agent() -> None:
    async with (
        ConsulAgent() as agent,
        FaultProxy(agent.http_port or 0) as way,
        client_of(f"http://127.0.0.1:{way.port}", agent.address) as client,
    ):
        first = await client.ask(QUESTION)
        poll = asyncio.create_task(client.ask(QUESTION.at(first.index, 60)))
        await asyncio.sleep(0)
        way.closed = True
        await way.cut()
        with contextlib.suppress(Cut):
            await poll
        answer = await client.ask(QUESTION)
        assert client.in_use == agent.address
        await agent.register("user", port=1)
        assert b"user" in (await client.ask(QUESTION.at(answer.index, 60))).body
