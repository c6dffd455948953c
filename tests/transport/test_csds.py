import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator

import grpc
import pytest
from envoy.admin.v3.config_dump_shared_pb2 import ClientResourceStatus
from envoy.config.core.v3.base_pb2 import Node
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import TlsCertificate
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.service.status.v3.csds_pb2 import ClientStatusRequest, ClientStatusResponse, ConfigStatus
from envoy.type.matcher.v3.node_pb2 import NodeMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from tests.protocol.resources import CDS, EDS, LDS, RDS, SDS, listener, routes, service, snapshot
from tests.protocol.talk import TALKS, Talk
from tests.rig.eventually import eventually
from tests.runtime.inputs import Inputs, catalog
from tests.transport.ads_client import METHODS, AdsClient, edge
from tests.transport.serving import serving
from xds_server.model.proxy import Proxy
from xds_server.protocol import SotwMachine
from xds_server.runtime.fleet import Fleet, Session, known_node
from xds_server.translate.packing import draft
from xds_server.transport import csds
from xds_server.transport.csds import SERVICE, ClientStatus

ALL = ClientStatusRequest()


class Rig:
    """The service alone on a server, and the fleet it tells of."""

    def __init__(self, channel, fleet, service):
        self.fleet = fleet
        self.service = service
        serializer = {
            "request_serializer": lambda one: one if isinstance(one, bytes) else one.SerializeToString(),
            "response_deserializer": ClientStatusResponse.FromString,
        }
        self.fetch = channel.unary_unary(f"/{SERVICE}/FetchClientStatus", **serializer)
        self.stream = channel.stream_stream(f"/{SERVICE}/StreamClientStatus", **serializer)

    def join(self, node_id: str, talk: Talk, *, peer: str = "", node: Node | None = None) -> Session:
        """Let a client with this conversation be connected."""
        node = node or Node(id=node_id, cluster="edge")
        session = Session(
            proxy=Proxy(id=node.id),
            variant=talk.variant,
            peer=peer or f"ipv4:127.0.0.1:{node_id}",
            since=1.0,
            machine=talk.machine,
            node=known_node(node),
        )
        self.fleet.enter(session)
        return session

    async def entries(self, request: ClientStatusRequest = ALL) -> dict[tuple[str, str], object]:
        """Give what there is of the only client, by type and name."""
        (client,) = (await self.fetch(request)).config
        found = {(one.type_url, one.name): one for one in client.generic_xds_configs}
        assert len(found) == len(client.generic_xds_configs)
        return found

    async def refusal(self, request: ClientStatusRequest | bytes) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.fetch(request)
        return caught.value.code(), caught.value.details() or ""


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    fleet = Fleet()
    service = ClientStatus(fleet)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        yield Rig(channel, fleet, service)
    await server.stop(None)


@pytest.fixture(params=TALKS)
def make_talk(request):
    return TALKS[request.param]


def wanting(make_talk, *drafts) -> Talk:
    """Give a client at 100 s that was sent all its clusters, and endpoints for `a`."""
    talk = make_talk(snapshot(*drafts))
    talk.now = 100.25
    talk.ask(CDS)
    talk.ask(EDS, "a")
    return talk


def by_id(**pattern) -> ClientStatusRequest:
    return ClientStatusRequest(node_matchers=[NodeMatcher(node_id=StringMatcher(**pattern))])


def ids(answer) -> list[str]:
    return [client.node.id for client in answer.config]


# --- the states ------------------------------------------------------------------------------------------


@pytest.mark.shows("P-120")
async def test_what_is_sent_and_not_answered_is_stale(rig, make_talk):
    rig.join("1", wanting(make_talk, service("a")))

    entry = (await rig.entries())[CDS, "a"]

    assert entry.config_status == ConfigStatus.STALE
    assert entry.client_status == ClientResourceStatus.REQUESTED
    assert entry.last_updated.ToNanoseconds() == 100_250_000_000
    assert not entry.HasField("error_state")


@pytest.mark.shows("P-120")
async def test_what_is_acknowledged_is_synced_with_its_version_and_its_content(rig, make_talk):
    talk = wanting(make_talk, service("a"))
    talk.ack(CDS)
    talk.ack(EDS)
    rig.join("1", talk)

    entries = await rig.entries()

    assert entries.keys() == {(CDS, "a"), (EDS, "a")}
    for (type_url, _), entry in entries.items():
        resource = talk.machine.snapshot.resource(type_url, "a")
        assert entry.config_status == ConfigStatus.SYNCED
        assert entry.client_status == ClientResourceStatus.ACKED
        assert entry.version_info == resource.version
        assert entry.xds_config.SerializeToString() == resource.packed


@pytest.mark.shows("P-120")
async def test_what_is_rejected_is_an_error_with_the_clients_words(rig, make_talk):
    talk = wanting(make_talk, service("a"))
    talk.now = 101.0
    talk.reject(CDS, "no " + "x" * 5000)
    rig.join("1", talk)

    entry = (await rig.entries())[CDS, "a"]

    assert entry.config_status == ConfigStatus.ERROR
    assert entry.client_status == ClientResourceStatus.NACKED
    assert entry.error_state.details == "no " + "x" * 997
    assert entry.error_state.version_info == talk.machine.snapshot.resource(CDS, "a").version
    assert entry.error_state.last_update_attempt.seconds == 101
    assert not entry.error_state.HasField("failed_configuration")


@pytest.mark.shows("P-120")
async def test_what_waits_behind_something_else_is_not_sent(rig, make_talk):
    talk = wanting(make_talk, service("a"))
    talk.ask(LDS)
    talk.ask(RDS, "web")
    talk.offer(
        snapshot(service("a"), service("b"), listener("web"), routes("web", "b"), after=talk.machine.snapshot)
    )
    rig.join("1", talk)

    entry = (await rig.entries())[LDS, "web"]

    assert entry.config_status == ConfigStatus.NOT_SENT
    assert entry.client_status == ClientResourceStatus.REQUESTED
    assert (entry.version_info, entry.HasField("last_updated")) == ("", False)
    assert not entry.HasField("xds_config")


async def test_a_client_that_has_an_older_version_meanwhile_still_has_one(rig, make_talk):
    talk = wanting(make_talk, service("a"))
    talk.ack(CDS)
    talk.ack(EDS)
    talk.offer(snapshot(service("a", "2"), after=talk.machine.snapshot))
    rig.join("1", talk)

    entry = (await rig.entries())[CDS, "a"]

    assert entry.config_status == ConfigStatus.STALE
    assert entry.client_status == ClientResourceStatus.ACKED


# --- who is told of --------------------------------------------------------------------------------------


@pytest.mark.shows("P-120")
async def test_every_connected_client_is_told_of_oldest_first(rig, make_talk):
    for node_id in ("b", "a", "c"):
        rig.join(node_id, wanting(make_talk, service("a")))
    gone = rig.join("gone", wanting(make_talk, service("a")))
    rig.fleet.leave(gone)

    assert ids(await rig.fetch(ALL)) == ["b", "a", "c"]


async def test_streams_of_a_node_over_one_connection_are_one_client(rig, make_talk):
    for type_url in (CDS, EDS):
        talk = make_talk(snapshot(service("a")), only=type_url)
        talk.ask(type_url, "a")
        rig.join("edge-1", talk, peer="ipv4:127.0.0.1:5")
    rig.join("edge-1", wanting(make_talk, service("a")), peer="ipv4:127.0.0.1:6")

    one, other = (await rig.fetch(ALL)).config

    assert {entry.type_url for entry in one.generic_xds_configs} == {CDS, EDS}
    assert len(one.generic_xds_configs) == len(other.generic_xds_configs) == 2


async def test_nobody_is_connected(rig):
    assert await rig.fetch(ALL) == ClientStatusResponse()


@pytest.mark.shows("P-120")
@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ({"exact": "edge-1"}, ["edge-1"]),
        ({"prefix": "edge-"}, ["edge-1", "edge-2"]),
        ({"suffix": "-1"}, ["edge-1", "side-1"]),
        ({"contains": "d"}, ["edge-1", "edge-2", "side-1"]),
        ({"exact": "EDGE-1"}, []),
        ({"exact": "EDGE-1", "ignore_case": True}, ["edge-1"]),
    ],
)
async def test_one_may_ask_for_some(rig, make_talk, pattern, found):
    for node_id in ("edge-1", "edge-2", "side-1"):
        rig.join(node_id, wanting(make_talk, service("a")))

    assert ids(await rig.fetch(by_id(**pattern))) == found


async def test_what_cannot_be_matched_is_refused_even_if_nobody_is_connected(rig):
    regex = NodeMatcher()
    regex.node_id.safe_regex.regex = "(a+)+$"

    code, details = await rig.refusal(ClientStatusRequest(node_matchers=[regex]))

    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert details == "a text is not matched by safe_regex here; use one of exact, prefix, suffix, contains"


# --- what is left out ------------------------------------------------------------------------------------


async def test_contents_may_be_left_out(rig, make_talk):
    rig.join("1", wanting(make_talk, service("a")))

    entries = await rig.entries(ClientStatusRequest(exclude_resource_contents=True))

    assert entries.keys() == {(CDS, "a"), (EDS, "a")}
    assert not any(entry.HasField("xds_config") for entry in entries.values())


async def test_a_private_key_is_not_shown(rig, make_talk):
    canary = b"canary-in-the-mine"
    certificate = TlsCertificate()
    certificate.certificate_chain.inline_bytes = b"public"
    certificate.private_key.inline_bytes = canary
    talk = make_talk(snapshot(draft(SDS, "edge", Secret(name="edge", tls_certificate=certificate))))
    (sent,) = talk.ask(SDS, "edge")
    assert sent.type == SDS
    rig.join("1", talk)

    answer = await rig.fetch(ALL)

    shown = Secret()
    assert answer.config[0].generic_xds_configs[0].xds_config.Unpack(shown)
    assert shown.tls_certificate.certificate_chain.inline_bytes == b"public"
    assert shown.tls_certificate.private_key.inline_bytes == b"[redacted]"
    for form in (canary, base64.b64encode(canary)[:-2]):
        assert form not in answer.SerializeToString()


@pytest.mark.shows("P-117")
@pytest.mark.parametrize("limit", ["MOST_CONTENTS", "MOST_BYTES", "MOST_ENTRIES"])
async def test_an_answer_that_would_be_too_large_is_refused_with_what_to_do(
    rig, make_talk, monkeypatch, limit
):
    monkeypatch.setattr(csds, limit, 3)
    for node_id in ("edge-1", "edge-2"):
        rig.join(node_id, wanting(make_talk, service("a")))
    bare = limit == "MOST_ENTRIES"
    request = ClientStatusRequest(exclude_resource_contents=bare)

    code, details = await rig.refusal(request)

    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "node_matchers" in details
    assert ("exclude_resource_contents" in details) is not bare
    if limit != "MOST_BYTES":
        narrow = by_id(exact="edge-1")
        narrow.exclude_resource_contents = bare
        assert len((await rig.fetch(narrow)).config) == 1


async def test_what_is_no_request_is_refused(rig):
    assert await rig.refusal(b"\xff\xff") == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "the message is not a ClientStatusRequest",
    )


# --- the whole server ------------------------------------------------------------------------------------


@pytest.mark.shows("P-120")
@pytest.mark.parametrize("variant", METHODS)
async def test_the_server_tells_of_its_streams_while_they_are_open(variant):
    async with (
        serving(Inputs(catalog(user=80, order=81))) as server,
        AdsClient(server.port, variant, node=edge(team="red")) as client,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        rig = Rig(channel, server.fleet, None)
        await client.subscribe(CDS).expect(CDS, "user", "order").ack(CDS)
        await client.subscribe(EDS, "user").expect(EDS, "user").nack(EDS, "no good").expect_nothing()
        (told,) = (await rig.fetch(ALL)).config
        client.call.cancel()
        await eventually(lambda: rig.fetch(ALL), ClientStatusResponse().__eq__)

    assert (told.node.id, told.node.metadata["team"]) == ("edge-1", "red")
    states = {(one.type_url, one.name): one.config_status for one in told.generic_xds_configs}
    assert states == {
        (CDS, "user"): ConfigStatus.SYNCED,
        (CDS, "order"): ConfigStatus.SYNCED,
        (EDS, "user"): ConfigStatus.ERROR,
    }


# --- streams ---------------------------------------------------------------------------------------------


@pytest.mark.shows("P-120")
async def test_each_message_on_a_stream_is_answered_by_how_it_is_then(rig, make_talk):
    talk = wanting(make_talk, service("a"))
    rig.join("1", talk)
    stream = rig.stream()
    seen = []
    for step in (lambda: None, lambda: talk.ack(CDS)):
        step()
        await stream.write(ALL)
        entries = (await stream.read()).config[0].generic_xds_configs
        seen.append(entries[0].config_status)
    await stream.done_writing()

    assert seen == [ConfigStatus.STALE, ConfigStatus.SYNCED]
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_bad_message_ends_the_stream(rig):
    stream = rig.stream()
    await stream.write(b"\xff\xff")

    with contextlib.suppress(grpc.aio.AioRpcError):
        assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.shows("T-ST-10")
async def test_a_bug_ends_one_call_without_telling_what_it_was(rig, monkeypatch):
    def fail() -> None:
        raise RuntimeError("canary")

    rig.join("1", wanting(TALKS["sotw"], service("a")))
    monkeypatch.setattr(SotwMachine, "status", lambda _: fail())

    code, details = await rig.refusal(ALL)

    assert code is grpc.StatusCode.INTERNAL
    assert "canary" not in details
    monkeypatch.undo()
    assert (await rig.fetch(ALL)).config


@pytest.mark.shows("P-012")
async def test_a_server_that_stops_ends_its_streams(rig):
    stream = rig.stream()
    await stream.write(ALL)
    await stream.read()
    rig.service.stop()

    async with asyncio.timeout(1):
        with contextlib.suppress(grpc.aio.AioRpcError):
            await stream.read()
        assert await stream.code() is grpc.StatusCode.UNAVAILABLE


async def test_too_many_streams_at_once_are_refused_and_a_place_is_free_again(rig):
    streams = [rig.stream() for _ in range(csds._MOST_CALLS)]
    for stream in streams:
        await stream.write(ALL)
        await stream.read()

    code, _ = await rig.refusal(ALL)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED

    streams[0].cancel()

    async def served() -> bool:
        await rig.fetch(ALL)
        return True

    await eventually(served)
