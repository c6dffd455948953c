"""Every answer that Consul, or what stands before it, can give: 65 to 90 of the catalogue of bad input.

Each is given for the list of services, and for the instances of one service. Nothing may be lost by it, no
other service may suffer, no task may end, and what is said of it fits on one line of a terminal.
"""

import asyncio
import gzip
import json
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.consul.fake_consul import LIST, FakeConsul, Reply, health, row
from tests.consul.source import QUICK, Seen, ports
from tests.rig.eventually import eventually
from tests.rig.ports import free_port
from xds_server.consul import poll as poll_module
from xds_server.consul.address import ConsulAddress, ConsulTls
from xds_server.consul.client import ConsulClient
from xds_server.consul.evidence import Bounds
from xds_server.consul.transport import Limits
from xds_server.consul.watch import ConsulSource, WatchOptions
from xds_server.model.problem import Code
from xds_server.model.standing import Standing, State
from xds_server.runtime.latest import Latest
from xds_server.telemetry import Event

IMPATIENT = Limits(silence=0.2, whole=0.3)
# A query is held for as long as a fault may take to be seen.
OPTIONS = replace(QUICK, wait=0.3, bounds=Bounds(hold=300))

ALL = {"consul": [], "a": [], "b": []}
A1, A2 = row("a", port=1), row("a", port=2)
INDEX = "X-Consul-Index"
FRESH = {INDEX: "1000"}
OLD = {INDEX: "5"}


@pytest.fixture(autouse=True)
def quick_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_module, "backoff", lambda errors: 0.02)


class Watched:
    """A source, and what it says."""

    def __init__(self) -> None:
        self.catalog = Seen()
        self.standings: Latest[tuple[Standing, ...]] = Latest()

    @property
    def standing(self) -> Standing:
        assert self.standings.value is not None
        return self.standings.value[0]

    async def until(self, state: State, said: str = "") -> None:
        await eventually(lambda: self.standing, lambda one: one.state is state and said in one.reason)


@asynccontextmanager
async def watched(
    address: str, options: WatchOptions = OPTIONS, tls: ConsulTls | None = None
) -> AsyncIterator[Watched]:
    made = Watched()
    client = ConsulClient(ConsulAddress(url=address, tls=tls or ConsulTls()), limits=IMPATIENT)
    source = ConsulSource(client, options)
    task = asyncio.create_task(source.run(made.catalog, made.standings))
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled(), task.exception()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One bad answer.

    `state` is that of the source if the list is answered so, and `said` is part of its reason. `told` is
    whether a service that is answered so becomes a problem. `rows` is the answer for the service where it is
    not the list's.
    """

    number: int
    what: str
    reply: Reply
    state: State
    said: str
    told: bool = True
    rows: Reply | None = None

    @property
    def name(self) -> str:
        return f"{self.number} {self.what}"


def deep(depth: int) -> str:
    return "[" * depth + "]" * depth


STALE, FROZEN = State.STALE, State.FROZEN
NO_LEADER = {INDEX: "1000", "X-Consul-KnownLeader": "false", "X-Consul-LastContact": "3600000"}

CASES = (
    Case(
        number=65,
        what="500 in plain text",
        reply=Reply(status=500, body="rpc error\x1b[31m\nmaking call: EOF"),
        state=STALE,
        said="Consul answered 500",
        told=False,
    ),
    Case(
        number=66,
        what="500 with an index",
        reply=Reply(status=500, body="No cluster leader", headers={INDEX: "1"}),
        state=STALE,
        said="No cluster leader",
        told=False,
    ),
    Case(
        number=67,
        what="403",
        reply=Reply(status=403, body="ACL not found", headers={INDEX: "1"}),
        state=FROZEN,
        said="give the token a policy",
    ),
    Case(
        number=68,
        what="429",
        reply=Reply(status=429, body="Your IP is issuing too many concurrent connections"),
        state=STALE,
        said="limits the rate",
        told=False,
    ),
    Case(
        number=69,
        what="400",
        reply=Reply(status=400, body="Invalid index"),
        state=FROZEN,
        said="Invalid index",
    ),
    Case(
        number=70,
        what="404 with HTML",
        reply=Reply(status=404, body="<html>\x1b[2J\r\n<h1>not here</h1>" * 100),
        state=FROZEN,
        said="check that the Consul address",
    ),
    Case(
        number=71,
        what="302 to another host",
        reply=Reply(status=302, headers={"Location": "http://127.0.0.2:1/v1/catalog/services"}),
        state=FROZEN,
        said="redirects are not followed",
    ),
    Case(number=72, what="{}", reply=Reply(body={}, headers=FRESH), state=FROZEN, said="`consul`"),
    Case(number=73, what="null", reply=Reply(body=None, headers=FRESH), state=FROZEN, said="cannot be read"),
    Case(number=74, what="[]", reply=Reply(body=[], headers=FRESH), state=FROZEN, said="cannot be read"),
    Case(
        number=75,
        what="truncated JSON",
        reply=Reply(body='{"consul": [], "a"', headers=FRESH),
        rows=Reply(body=json.dumps([A1])[:-9], headers=FRESH),
        state=FROZEN,
        said="cannot be read",
    ),
    Case(
        number=75,
        what="fewer bytes than told",
        reply=Reply(body='{"consul": []}', headers=FRESH, cut_after=0),
        state=STALE,
        said="before the answer was whole",
        told=False,
    ),
    Case(
        number=76,
        what="a byte at a time for ever",
        reply=Reply(drip=True, headers=FRESH),
        state=STALE,
        said="in time",
        told=False,
    ),
    Case(
        number=77,
        what="nested 10,000 deep",
        reply=Reply(body=deep(10_000), headers=FRESH),
        state=FROZEN,
        said="cannot be read",
    ),
    Case(
        number=77,
        what="NaN",
        reply=Reply(body='{"consul": [], "a": NaN}', headers=FRESH),
        rows=Reply(body="[NaN]", headers=FRESH),
        state=FROZEN,
        said="cannot be read",
    ),
    Case(
        number=78,
        what="compressed",
        reply=Reply(body=gzip.compress(b" " * 10**6), headers={"Content-Encoding": "gzip", **FRESH}),
        state=FROZEN,
        said="cannot be read",
    ),
    Case(
        number=79,
        what="no index, and something is gone",
        reply=Reply(body={"consul": []}, headers={INDEX: "-1.5"}),
        rows=Reply(body=[A1], headers={INDEX: "9" * 20}),
        state=FROZEN,
        said="has no X-Consul-Index",
    ),
    Case(
        number=80,
        what="an index that went back, and something is gone",
        reply=Reply(body={"consul": []}, headers=OLD),
        rows=Reply(body=[A1], headers=OLD),
        state=FROZEN,
        said="went backwards",
    ),
    Case(
        number=83,
        what="no leader for an hour, and something is gone",
        reply=Reply(body={"consul": []}, headers=NO_LEADER),
        rows=Reply(body=[A1], headers=NO_LEADER),
        state=FROZEN,
        said="knows no leader",
    ),
    Case(
        number=83,
        what="a leader last heard of an hour ago, and something is gone",
        reply=Reply(body={"consul": []}, headers={**FRESH, "X-Consul-LastContact": "3600000"}),
        rows=Reply(body=[A1], headers={**FRESH, "X-Consul-LastContact": "3600000"}),
        state=FROZEN,
        said="more than 10 s",
    ),
    Case(number=84, what="no answer", reply=Reply(hang=True), state=STALE, said="in time", told=False),
    Case(
        number=85,
        what="a connection cut at once",
        reply=Reply(cut_after=0),
        state=STALE,
        said="before the answer was whole",
        told=False,
    ),
)
EACH = [pytest.param(case, id=case.name, marks=pytest.mark.case(case.number)) for case in CASES]


@asynccontextmanager
async def world(caplog: pytest.LogCaptureFixture) -> AsyncIterator[tuple[FakeConsul, Watched]]:
    """A catalog of two services that was read; afterwards, what was said is looked at."""
    caplog.set_level(logging.INFO, "xds_server")
    async with FakeConsul() as fake:
        fake.put("a", A1, A2)
        fake.put("b", row("b", port=1))
        async with watched(fake.address) as source:
            await source.catalog.until(lambda _: True)
            await source.until(State.LIVE)
            yield fake, source
            await source.until(State.LIVE)
            assert source.catalog.published[-1].problems == ()
    for record in caplog.records:
        assert record.getMessage() != Event.TASK_FAILED
    assert all(ports(catalog, "a")[:1] == [1] for catalog in source.catalog.published[:-1])


def fits_on_a_line(text: str) -> bool:
    return text.isascii() and text.isprintable() and len(text) < 600


@pytest.mark.parametrize("case", EACH)
async def test_a_bad_answer_for_the_list(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    async with world(caplog) as (fake, source):
        before = source.catalog.published[-1].services
        fake.always(LIST, case.reply)
        fake.wake()
        await source.until(case.state, case.said)
        assert fits_on_a_line(source.standing.reason)

        # What is listed is followed on.
        fake.put("b", row("b", port=9))
        now = await source.catalog.until(lambda catalog: ports(catalog, "b") == [9])
        assert now.services["a"] is before["a"]

        fake.always(LIST, None)
        fake.put("c", row("c"))
        await source.catalog.until(lambda catalog: "c" in catalog.services)
        fake.drop("c")
        await source.catalog.until(lambda catalog: "c" not in catalog.services)


@pytest.mark.parametrize("case", EACH)
async def test_a_bad_answer_for_one_service(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    async with world(caplog) as (fake, source):
        before = source.catalog.published[-1].services
        asked = fake.count(health("a"))
        fake.always(health("a"), case.rows or case.reply)
        fake.wake()
        await fake.until_asked(health("a"), asked + 4)
        if case.told:
            await eventually(lambda: source.catalog.published[-1].problems)
        problems = source.catalog.published[-1].problems
        assert [problem.code for problem in problems] == [Code.SERVICE_UNREADABLE] * case.told
        assert all(fits_on_a_line(problem.sentence) for problem in problems)

        fake.put("b", row("b", port=9))
        now = await source.catalog.until(lambda catalog: ports(catalog, "b") == [9])
        assert now.services["a"] is before["a"]
        assert source.standing.state is State.LIVE

        fake.always(health("a"), None)
        fake.wake()
        await source.catalog.until(lambda catalog: not catalog.problems)
        fake.put("a", A1)
        await source.catalog.until(lambda catalog: ports(catalog, "a") == [1])


# --- what is no fault


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(reply, id=f"{number} {what}", marks=pytest.mark.case(number))
        for number, what, reply in [
            (77, "a key twice", Reply(body='{"consul":[],"a":[],"b":[],"a":[]}', headers=FRESH)),
            (79, "no index", Reply(body=ALL, headers={})),
            (79, "an index that is none", Reply(body=ALL, headers={INDEX: "9" * 20})),
            (80, "back", Reply(body=ALL, headers=OLD)),
            (81, "the same", Reply(body={**ALL, "b": ["tag"]}, headers={INDEX: "13"})),
        ]
    ],
)
async def test_a_strange_answer_that_takes_nothing_away(
    reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(caplog) as (fake, source):
        published = len(source.catalog.published)
        asked = fake.count(LIST)
        fake.always(LIST, reply)
        fake.wake()
        await fake.until_asked(LIST, asked + 5)
        assert source.standing.state is State.LIVE
        assert len(source.catalog.published) == published
        fake.always(LIST, None)


@pytest.mark.case(80)
async def test_80_what_an_answer_of_a_restored_snapshot_adds_is_believed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with world(caplog) as (fake, source):
        fake.always(health("a"), Reply(body=[A1, row("a", port=3)], headers=OLD))
        fake.wake()
        await source.catalog.until(lambda catalog: ports(catalog, "a") == [1, 2, 3] and catalog.problems)
        asked = [one for one in fake.asked if one.path == health("a")]
        assert any("consistent" in one.query and one.index == 0 for one in asked)
        fake.always(health("a"), None)
        fake.put("a", A1, A2, row("a", port=3))
        await source.catalog.until(lambda catalog: not catalog.problems)
        fake.put("a", A1)
        await source.catalog.until(lambda catalog: ports(catalog, "a") == [1])


@pytest.mark.case(80)
async def test_80_after_the_hold_a_loss_is_believed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "xds_server")
    async with FakeConsul() as fake:
        fake.put("a", A1, A2)
        fake.put("b", row("b"))
        async with watched(fake.address, replace(OPTIONS, bounds=Bounds(hold=0.5))) as source:
            await source.catalog.until(lambda _: True)
            for path, body in ((LIST, {"consul": [], "a": []}), (health("a"), [A1])):
                fake.always(path, Reply(body=body, headers=OLD))
            fake.wake()
            await source.until(FROZEN, "They are kept until")
            assert ports(source.catalog.published[-1], "a") == [1, 2]
            await source.catalog.until(lambda catalog: list(catalog.services) == ["a"])
            await source.catalog.until(lambda catalog: ports(catalog, "a") == [1])
            await source.until(State.LIVE)


@pytest.mark.case(81)
async def test_81_the_same_index_with_less_is_doubted_and_with_more_is_believed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with world(caplog) as (fake, source):
        index = {INDEX: str(fake._index_of(LIST))}
        fake.always(LIST, Reply(body={"consul": [], "a": []}, headers=index))
        await source.until(FROZEN, "by its index nothing has changed")
        fake.services["c"] = [row("c")]
        fake.always(LIST, Reply(body={**ALL, "c": []}, headers=index))
        await source.catalog.until(lambda catalog: list(catalog.services) == ["a", "b", "c"])
        fake.always(LIST, None)
        fake.wake()


@pytest.mark.case(82)
async def test_82_an_index_that_moves_all_the_time_costs_no_more_than_the_pace() -> None:
    async with FakeConsul() as fake:
        fake.put("a", A1)
        options = replace(OPTIONS, burst=5, per_second=2)
        async with watched(fake.address, options) as source:
            await source.catalog.until(lambda _: True)
            started = asyncio.get_running_loop().time()
            for index in range(1000, 1100):
                fake.index = index
                fake.wake()
                await asyncio.sleep(0.01)
            taken = asyncio.get_running_loop().time() - started
            assert len(source.catalog.published) == 1
            for path in (LIST, health("a")):
                assert fake.count(path) <= 5 + 2 * taken + 1


@pytest.mark.case(83)
async def test_83_without_a_leader_a_list_that_lacks_nothing_is_stale() -> None:
    async with FakeConsul() as fake:
        fake.put("a", A1)
        async with watched(fake.address) as source:
            await source.until(State.LIVE)
            fake.headers = {"X-Consul-KnownLeader": "false", "X-Consul-LastContact": "3600000"}
            fake.wake()
            await source.until(STALE, "lost its leader")
            fake.put("a", A1, A2)
            await source.catalog.until(lambda catalog: ports(catalog, "a") == [1, 2])
            fake.headers = {}
            fake.wake()
            await source.until(State.LIVE)


@pytest.mark.case(86)
async def test_86_two_servers_with_different_truths_that_take_turns() -> None:
    one = {"consul": [], "a": [], "b": []}
    other = {"consul": [], "b": [], "c": []}
    async with FakeConsul() as fake:
        for name in "abc":
            fake.put(name, row(name))
        fake.always(LIST, Reply(body=one, headers={INDEX: "500"}), Reply(body=other, headers={INDEX: "90"}))
        async with watched(fake.address) as source:
            await source.until(FROZEN, "contradict each other")
            frozen = source.catalog.value
            assert frozen is not None
            assert {"a", "b"} <= frozen.services.keys()
            asked = fake.count(LIST)
            await fake.until_asked(LIST, asked + 10)
            assert source.catalog.value is frozen
            assert source.standing.state is FROZEN


@pytest.mark.case(87)
async def test_87_a_socket_closed_between_requests_is_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with world(caplog) as (fake, source):
        for turn in range(3):
            fake.put("a", A1, A2, row("a", port=10 + turn))
            fake.script(health("a"), Reply(cut_after=0))
            await source.catalog.until(lambda catalog, turn=turn: ports(catalog, "a") == [1, 2, 10 + turn])
        assert source.standing.state is State.LIVE


@pytest.mark.parametrize("wrong", ["expired", "another CA"])
@pytest.mark.case(88)
async def test_88_a_certificate_that_is_not_to_be_trusted(wrong: str, tmp_path: Path) -> None:
    ca, other = trustme.CA(), trustme.CA()
    ends = datetime.now(UTC) + (timedelta(days=-1) if wrong == "expired" else timedelta(days=1))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (ca if wrong == "expired" else other).issue_cert("127.0.0.1", not_after=ends).configure_cert(context)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        tls = ConsulTls(ca_file=tmp_path / "ca.pem")
        async with watched(f"https://127.0.0.1:{port}", tls=tls) as source:
            await source.until(STALE, "certificate is not trusted")
            assert source.catalog.value is None


@pytest.mark.case(89)
async def test_89_a_name_that_does_not_resolve_and_then_leads_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = socket.getaddrinfo
    leads_to: str | None = None

    def resolve(host: Any, *rest: Any, **more: Any) -> Any:
        if host != "consul.test":
            return real(host, *rest, **more)
        if leads_to is None:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return real(leads_to, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with FakeConsul() as fake:
        fake.put("a", A1)
        async with watched(f"http://consul.test:{fake.port}") as source:
            await source.until(STALE, "does not resolve")
            leads_to = "127.0.0.1"
            await source.until(State.LIVE)
            assert ports(await source.catalog.until(lambda _: True), "a") == [1]


@pytest.mark.case(90)
async def test_90_a_service_that_can_never_be_read_holds_nothing_up() -> None:
    async with FakeConsul() as fake:
        fake.put("a", A1)
        for name in ("rogue", "new\nline"):
            fake.put(name, row(name))
        fake.always(health("rogue"), Reply(status=400, body="Invalid service name"))
        async with watched(fake.address, replace(OPTIONS, sync_deadline=60)) as source:
            catalog = await source.catalog.until(lambda _: True)
            assert list(catalog.services) == ["a"]
            assert {problem.code for problem in catalog.problems} == {
                Code.SERVICE_NAME,
                Code.SERVICE_UNREADABLE,
            }
            await source.until(State.LIVE)


async def test_nobody_at_all() -> None:
    async with watched(f"http://127.0.0.1:{free_port()}") as source:
        await source.until(STALE, "nothing accepts connections")
