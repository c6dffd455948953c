"""HTTP/2 to a peer that keeps to it, and to one that does not."""

import asyncio
import contextlib

import h2.config
import h2.connection
import h2.errors
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from tests.consul.fake_http2 import Connection, FakeHttp2
from tests.rig.eventually import eventually
from tests.rig.fault_proxy import FaultProxy
from xds_server.consul.errors import ConsulError, Cut, Late, Refused, Unreachable, Unreadable
from xds_server.consul.http2_session import Http2Session, NotProcessedError
from xds_server.consul.query import Query
from xds_server.consul.transport import Limits, Reply, Request

QUESTION = Query(segments=("v1", "catalog", "services"))
POLL = QUESTION.at(7, 60)


def never(_: Connection, __: int) -> None:
    """Holds every request."""


def path(name: str) -> Query:
    return Query(segments=("v1", "health", "service", name))


async def test_an_answer_over_http2() -> None:
    async with FakeHttp2(most=30) as fake, fake.client() as client:
        assert client.capacity == 100
        answer = await client.ask(path("a/b"))
        assert (answer.index, answer.body) == (7, b"{}")
        assert client.capacity == 100 * 30
        assert fake.connections[0].paths == ["/v1/health/service/a%2Fb"]


async def test_no_more_streams_than_the_peer_allows_and_no_more_connections_than_we_do() -> None:
    held: list[tuple[Connection, int]] = []
    async with FakeHttp2(lambda *one: held.append(one), most=3) as fake, fake.client(connections=2) as client:
        asks = [asyncio.create_task(client.ask(path(str(number)))) for number in range(20)]
        for answered in range(20):
            await eventually(lambda answered=answered: len(held) > answered)
            held[answered][0].reply(held[answered][1])
        await asyncio.gather(*asks)
        assert (len(fake.connections), fake.most_open) == (2, 3)


async def test_a_body_beyond_every_window_comes_whole() -> None:
    body = bytes(range(256)) * (3 * 2**20 // 256)
    async with FakeHttp2(lambda conn, number: conn.reply(number, body)) as fake, fake.client() as client:
        answers = await asyncio.gather(*(client.ask(path(str(number))) for number in range(6)))
        assert all(answer.body == body for answer in answers)


async def test_a_cap_costs_only_its_own_request() -> None:
    def answer(conn: Connection, number: int) -> None:
        match conn.paths[-1].rpartition("/")[2]:
            case "long":
                conn.reply(number, b"x" * 1001, end=False)
            case "headers":
                conn.reply(number, **{f"x-{one}": "1" for one in range(70)})
            case "refused":
                conn.conn.send_headers(number, [(":status", "500")])
                conn.send(number, b"no leader " * 1000, end=False)
            case "good":
                conn.reply(number, b"x" * 1000)

    limits = Limits(body=1000)
    async with FakeHttp2(answer) as fake, fake.client(limits=limits) as client:
        poll = asyncio.create_task(client.ask(path("held").at(7, 60)))
        with pytest.raises(Unreadable, match="longer than 1000 bytes"):
            await client.ask(path("long"))
        with pytest.raises(Unreadable, match="more than 64 headers"):
            await client.ask(path("headers"))
        with pytest.raises(Refused, match="no leader"):
            await client.ask(path("refused"))
        assert len((await client.ask(path("good"))).body) == 1000
        await eventually(lambda: len(fake.connections[0].reset) >= 2)
        assert not poll.done()
        assert len(fake.connections) == 1
        poll.cancel()
        # The peer is told, so that it stops to hold the answer.
        await eventually(lambda: not fake.connections[0].streams)


async def test_headers_beyond_one_frame_end_the_connection() -> None:
    def answer(conn: Connection, number: int) -> None:
        conn.reply(number, **{"x-long": "a" * 30_000})

    async with FakeHttp2(answer) as fake, fake.client() as client:
        with pytest.raises(Unreachable, match="HTTP that can be read"):
            await client.ask(QUESTION)


async def test_a_request_that_was_refused_unseen_is_sent_again() -> None:
    def answer(conn: Connection, number: int) -> None:
        if number == 1:
            conn.conn.reset_stream(number, h2.errors.ErrorCodes.REFUSED_STREAM)
            conn.streams.discard(number)
        else:
            conn.reply(number)

    async with FakeHttp2(answer) as fake, fake.client() as client:
        assert (await client.ask(QUESTION)).index == 7
        assert len(fake.connections[0].paths) == 2


async def test_a_request_that_is_refused_for_ever_ends() -> None:
    def answer(conn: Connection, number: int) -> None:
        conn.conn.reset_stream(number, h2.errors.ErrorCodes.REFUSED_STREAM)

    async with FakeHttp2(answer) as fake, fake.client() as client:
        with pytest.raises(Cut):
            await client.ask(QUESTION)
        assert len(fake.connections[0].paths) <= 5


async def test_a_reset_is_a_cut_of_one_request() -> None:
    def answer(conn: Connection, number: int) -> None:
        if conn.paths[-1].endswith("bad"):
            conn.conn.reset_stream(number, h2.errors.ErrorCodes.INTERNAL_ERROR)

    async with FakeHttp2(answer) as fake, fake.client() as client:
        poll = asyncio.create_task(client.ask(POLL))
        with pytest.raises(Cut):
            await client.ask(path("bad"))
        assert not poll.done()
        poll.cancel()


async def test_a_goaway_fails_what_was_seen_and_moves_the_rest() -> None:
    async with FakeHttp2(never) as fake, fake.client() as client:
        seen = asyncio.create_task(client.ask(path("seen").at(7, 60)))
        await eventually(lambda: fake.connections and len(fake.connections[0].paths) == 1)
        unseen = asyncio.create_task(client.ask(path("unseen")))
        await eventually(lambda: len(fake.connections[0].paths) == 2)
        fake.answer = Connection.reply
        fake.connections[0].conn.close_connection(last_stream_id=1)
        fake.connections[0].flush()
        with pytest.raises(Cut):
            await seen
        assert (await unseen).index == 7
        assert fake.connections[1].paths == ["/v1/health/service/unseen"]


async def test_a_connection_closed_between_requests_is_nothing() -> None:
    async with FakeHttp2() as fake, fake.client() as client:
        await client.ask(QUESTION)
        fake.connections[0].transport.abort()
        await asyncio.sleep(0.05)
        await client.ask(QUESTION)
        assert len(fake.connections) == 2


GARBAGE = {
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "nothing but zeros": b"\x00" * 100,
    "nothing but ones": b"\xff" * 100,
    "data of no stream": b"\x00\x00\x01\x00\x01\x00\x00\x00\x07x",
    "a window that opens by 0": b"\x00\x00\x04\x08\x00" + b"\x00" * 8,
    "headers that are none": b"\x00\x00\x04\x01\x04\x00\x00\x00\x01\xff\xff\xff\xff",
}


@pytest.mark.parametrize("hello", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage(hello: bytes) -> None:
    async with FakeHttp2(hello=hello) as fake, fake.client() as client:
        with pytest.raises(Unreachable, match=r"https://127\.0\.0\.1"):
            await client.ask(QUESTION)


@pytest.mark.parametrize("junk", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_in_the_middle_fails_what_is_under_way(junk: bytes) -> None:
    async with FakeHttp2(never) as fake, fake.client() as client:
        polls = [asyncio.create_task(client.ask(path(str(number)).at(7, 60))) for number in range(5)]
        await eventually(lambda: fake.connections and len(fake.connections[0].paths) == 5)
        fake.connections[0].transport.write(junk)
        found = await asyncio.gather(*polls, return_exceptions=True)
        assert all(isinstance(one, Unreachable) for one in found)


async def test_a_peer_that_says_hello_and_nothing_more() -> None:
    limits = Limits(connect=0.2)
    async with FakeHttp2(hello=b"") as fake, fake.client(limits=limits) as client:
        found = await asyncio.gather(*(client.ask(QUESTION) for _ in range(20)), return_exceptions=True)
        assert all(isinstance(one, Unreachable) for one in found)
        # They share one try.
        assert len(fake.connections) == 1


async def test_a_peer_that_allows_no_stream() -> None:
    limits = Limits(whole=1.5)
    async with FakeHttp2(most=0) as fake, fake.client(connections=2, limits=limits) as client:
        with pytest.raises(Late, match="in time"):
            await client.ask(QUESTION)
        assert len(fake.connections) == 2


async def test_an_answer_that_stops_in_the_middle_ends() -> None:
    limits = Limits(silence=0.1)

    def answer(conn: Connection, number: int) -> None:
        conn.reply(number, b"{", end=False)

    async with FakeHttp2(answer) as fake, fake.client(limits=limits) as client:
        with pytest.raises(Late, match="in time"):
            await client.ask(QUESTION)


async def test_an_answer_that_never_ends_ends() -> None:
    async def trickle(conn: Connection, number: int) -> None:
        with contextlib.suppress(Exception):
            while True:
                conn.send(number, b" ", end=False)
                await asyncio.sleep(0.05)

    def answer(conn: Connection, number: int) -> None:
        conn.reply(number, b"{", end=False)
        trickles.append(asyncio.create_task(trickle(conn, number)))

    trickles: list[asyncio.Task[None]] = []
    limits = Limits(silence=0.2, whole=0.5)
    async with FakeHttp2(answer) as fake, fake.client(limits=limits) as client:
        with pytest.raises(Late, match="in time"):
            await client.ask(QUESTION)
        await asyncio.gather(*trickles)


async def test_a_peer_that_vanished_is_found_by_a_ping() -> None:
    limits = Limits(quiet=0.5)
    async with (
        FakeHttp2(never) as fake,
        FaultProxy(fake.port) as way,
        fake.client(port=way.port, limits=limits) as client,
    ):
        poll = asyncio.create_task(client.ask(POLL))
        await asyncio.sleep(1.2)
        assert not poll.done()  # pings are answered
        way.swallow = True
        with pytest.raises(Cut):
            async with asyncio.timeout(10):
                await poll


async def test_a_connection_that_nobody_uses_is_closed() -> None:
    limits = Limits(quiet=0.05)
    async with (
        FakeHttp2() as fake,
        FaultProxy(fake.port) as way,
        fake.client(port=way.port, limits=limits) as client,
    ):
        await client.ask(QUESTION)
        await eventually(lambda: way.open, lambda count: count == 0)
        await client.ask(QUESTION)


async def test_a_cut_fails_all_on_that_connection_and_the_next_is_answered() -> None:
    async with (
        FakeHttp2(never) as fake,
        FaultProxy(fake.port) as way,
        fake.client(port=way.port) as client,
    ):
        polls = [asyncio.create_task(client.ask(path(str(number)).at(7, 60))) for number in range(50)]
        await eventually(lambda: fake.connections and len(fake.connections[0].paths) == 50)
        await way.reset()
        found = await asyncio.gather(*polls, return_exceptions=True)
        assert {type(one) for one in found} == {Cut}
        fake.answer = Connection.reply
        await client.ask(QUESTION)


def transcript() -> bytes:
    """What a sound server says: settings, an answer in pieces, a ping, a goodbye."""
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    client = h2.connection.H2Connection()
    client.initiate_connection()
    client.send_headers(
        1, [(":method", "GET"), (":path", "/"), (":scheme", "https"), (":authority", "a")], end_stream=True
    )
    server.initiate_connection()
    server.receive_data(client.data_to_send())
    server.send_headers(1, [(":status", "200"), ("x-consul-index", "7")])
    server.send_data(1, b"{}" * 40, end_stream=True)
    server.ping(b"12345678")
    server.close_connection()
    return server.data_to_send()


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_whatever_comes_is_an_answer_or_an_error_of_ours(data: st.DataObject) -> None:
    said = bytearray(transcript())
    for _ in range(data.draw(st.integers(0, 6))):
        said[data.draw(st.integers(0, len(said) - 1))] = data.draw(st.integers(0, 255))
    asyncio.run(heard(bytes(said), data.draw(st.integers(1, len(said)))))


async def heard(said: bytes, piece: int) -> None:
    session = Http2Session("https://a:1", Limits(), lambda: None)
    number, stream = session.begin(URL("https://a:1/"), Request(path="/"))
    error: ConsulError = Cut()
    try:
        for at in range(0, len(said), piece):
            session.receive(said[at : at + piece], 0.0)
    except ConsulError as raised:
        error = raised
    session.end(error)
    with contextlib.suppress(ConsulError, NotProcessedError):
        assert isinstance(await stream.reply, Reply)
    session.finish(number)


def test_a_sound_transcript_is_an_answer() -> None:
    async def answered() -> Reply:
        session = Http2Session("https://a:1", Limits(), lambda: None)
        _, stream = session.begin(URL("https://a:1/"), Request(path="/"))
        with pytest.raises(Cut):
            session.receive(transcript(), 0.0)
        return await stream.reply

    reply = asyncio.run(answered())
    assert (reply.status, reply.headers, reply.body) == (200, {"x-consul-index": "7"}, b"{}" * 40)
