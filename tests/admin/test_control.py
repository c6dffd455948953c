"""Who may act over the admin server, and what comes of it."""

import asyncio
import json
import os
import socket
import ssl
import stat

import aiohttp
import pytest
import trustme

from tests.rig.eventually import eventually
from tests.runtime.inputs import Inputs, catalog
from xds_server import telemetry
from xds_server.admin import Access, AdminServer, SocketError, application
from xds_server.admin.socket import listen
from xds_server.model.hold import Hold
from xds_server.runtime.control import Control
from xds_server.runtime.load import Loads

TOKEN = "0123456789abcdef-token"
HOLD = Hold(guard="fleet-shrink", subject="", sentence="Half is gone.", release="accept", since=1.0)
JSON = {"Content-Type": "application/json"}
BEARER = {**JSON, "Authorization": f"Bearer {TOKEN}"}


class FakeGuarding:
    def __init__(self):
        self.holds = (HOLD,)

    def accept(self, hold_id):
        released = tuple(one for one in self.holds if hold_id in (None, one.id))
        self.holds = ()
        return released


class Admin:
    """A server on a port and on a socket, and requests to it."""

    def __init__(self, inputs, control, server, port, path):
        self.inputs, self.control, self.server = inputs, control, server
        self.port, self.path = port, path

    async def ask(self, path, body=None, *, method="POST", tcp=False, headers=JSON, tls=None):
        connector = aiohttp.TCPConnector(ssl=tls or True) if tcp else aiohttp.UnixConnector(str(self.path))
        host = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}" if tcp else "http://localhost"
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(
                method, host + path, data=data if method == "POST" else None, headers=headers
            ) as got,
        ):
            text = await got.text()
            return got.status, json.loads(text) if text.startswith("{") else text


@pytest.fixture
async def start(tmp_path):
    """Start a server with some access; give what asks it."""
    running = []

    async def make(tls=None, **access):
        inputs = Inputs(catalog(a=1))
        building = asyncio.create_task(inputs.pipeline.run())
        await inputs.pipeline.snapshot.get()
        control = Control(inputs.pipeline, FakeGuarding())
        path = tmp_path / "admin.sock"
        server = AdminServer(
            application(
                inputs.pipeline, Loads(), control=control, access=Access(socket="/run/x.sock", **access)
            )
        )
        port = await server.start("127.0.0.1", 0, tls)
        await server.open_socket(path)
        running.append((building, server))
        return Admin(inputs, control, server, port, path)

    yield make
    for building, server in running:
        building.cancel()
        await server.stop()
    telemetry.FROZEN.set(0)


@pytest.fixture
async def admin(start):
    return await start()


@pytest.fixture
def token_file(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    return file


# --- what comes of it ------------------------------------------------------------------------------------


async def test_on_the_socket_one_may_freeze_and_thaw(admin):
    status, answer = await admin.ask("/control/freeze", {"reason": "INC-42"})
    assert (status, answer["changed"], answer["serving"]) == (200, True, 1)
    assert answer["operator"]["by"] == f"uid {os.getuid()} pid {os.getpid()}"
    _, state = await admin.ask("/state", method="GET")
    assert state["operator"]["reason"] == "INC-42"
    assert [one["source"] for one in state["sources"]] == ["operator"]
    status, text = await admin.ask("/readyz", method="GET")
    assert status == 200
    assert text.startswith("ready (frozen since ")
    _, metrics = await admin.ask("/metrics", method="GET")
    assert "xds_frozen 1.0" in metrics
    assert 'xds_source_state{source="operator",state="frozen"} 1.0' in metrics

    status, answer = await admin.ask("/control/thaw")
    assert (status, answer["operator"]) == (200, None)


async def test_the_history_tells_what_changed(admin):
    admin.inputs.catalog.publish(catalog(b=2))
    await eventually(lambda: len(admin.inputs.pipeline.history.states) == 2)
    _, shown = await admin.ask("/control/history", method="GET")
    assert [one["number"] for one in shown["states"]] == [1, shown["serving"]]
    newest = shown["states"][-1]
    assert (newest["added"], newest["removed"], newest["counts"]) == (["b"], ["a"], [1, 1, 0])

    status, answer = await admin.ask("/control/rollback", {"number": 1})
    assert (status, answer["serving"], answer["operator"]["kind"]) == (200, 1, "rolled-back")


async def test_a_hold_is_accepted(admin):
    assert (await admin.ask("/control/accept", {"hold": "x"}))[0] == 409


async def test_all_holds_are_accepted(admin):
    status, answer = await admin.ask("/control/accept", {"all": True})
    assert (status, answer["sentence"]) == (200, "released: fleet-shrink")


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("freeze", b"{", 400, "the body is not right"),
        ("freeze", b"[]", 400, "the body is not right"),
        ("freeze", b"\xff\xfe", 400, "the body is not right"),
        ("freeze", b"[" * 4000, 400, "the body is not right"),
        ("freeze", b" " * 5000, 400, "larger than 4096 bytes"),
        ("freeze", {"resaon": "x"}, 400, "unknown field"),
        ("freeze", {"reason": "x" * 201}, 400, "length <= 200"),
        ("rollback", {"number": -1}, 400, ">= 0"),
        ("rollback", {"number": 1.5}, 400, "the body is not right"),
        ("rollback", {"number": 99}, 409, "state 99 is not remembered"),
        ("accept", {}, 409, "say which hold"),
        ("accept", {"hold": "x", "all": True}, 409, "say which hold"),
    ],
)
async def test_what_is_not_right_is_said(admin, path, body, status, said):
    got, answer = await admin.ask(f"/control/{path}", body)
    assert got == status
    assert said in answer["error"]
    assert admin.control.view() is None


@pytest.mark.parametrize("path", ["freeze", "thaw", "rollback", "accept"])
async def test_no_get_acts(admin, path):
    assert (await admin.ask(f"/control/{path}", method="GET"))[0] == 405


# --- who may ---------------------------------------------------------------------------------------------


async def test_over_tcp_nobody_may_and_the_answer_names_the_socket(admin):
    status, answer = await admin.ask("/control/freeze", tcp=True)
    assert (status, admin.control.view()) == (403, None)
    assert "use the unix socket /run/x.sock" in answer["error"]


@pytest.mark.parametrize("tcp", [True, False])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({**BEARER, "Origin": "http://evil.example"}, 403),
        ({**BEARER, "Origin": "null"}, 403),
        ({**BEARER, "Content-Type": "text/plain"}, 415),
        ({**BEARER, "Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_a_web_page_may_not(start, token_file, tcp, headers, status):
    admin = await start(token_file=token_file)
    assert (await admin.ask("/control/freeze", tcp=tcp, headers=headers))[0] == status
    assert admin.control.view() is None


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 403),
        ("evil.example:18001", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost:18001", 200),
        ("[::1]:18001", 200),
        ("127.0.0.1", 200),
    ],
)
async def test_a_name_that_was_rebound_is_refused(start, token_file, host, status):
    admin = await start(token_file=token_file)
    assert (await admin.ask("/control/freeze", tcp=True, headers={**BEARER, "Host": host}))[0] == status


async def test_the_token_is_asked_for(start, token_file):
    admin = await start(token_file=token_file)
    for wrong in ("", TOKEN[:-1], TOKEN + "x", TOKEN.upper()):
        headers = {**JSON, "Authorization": f"Bearer {wrong}"}
        status, answer = await admin.ask("/control/freeze", tcp=True, headers=headers)
        assert status == 403
        assert TOKEN not in answer["error"]
    status, answer = await admin.ask("/control/freeze", tcp=True, headers=BEARER)
    assert (status, answer["operator"]["by"]) == (200, "token from 127.0.0.1")


async def test_the_token_is_read_again(start, token_file):
    admin = await start(token_file=token_file)
    token_file.write_text("another-token-of-twenty")
    assert (await admin.ask("/control/freeze", tcp=True, headers=BEARER))[0] == 403


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.chmod(0o644), "is open to others; chmod 600"),
        (lambda file: file.write_text("short"), "fewer than 16 characters"),
        (lambda file: file.write_text(""), "fewer than 16 characters"),
        (lambda file: file.unlink(), "cannot be read"),
        (lambda file: (file.unlink(), os.mkfifo(file, 0o600)), "is not a file"),
        (lambda file: (file.unlink(), file.mkdir(0o700)), "is not a file"),
    ],
)
async def test_a_token_file_that_is_none(start, token_file, spoil, said):
    admin = await start(token_file=token_file)
    spoil(token_file)
    status, answer = await admin.ask("/control/freeze", tcp=True, headers=BEARER)
    assert status == 403
    assert said in answer["error"]


async def test_the_token_may_not_cross_the_network_in_clear(start, token_file, monkeypatch):
    admin = await start(token_file=token_file)
    monkeypatch.setattr("xds_server.admin.access._is_loopback", lambda _: False)
    status, answer = await admin.ask("/control/freeze", tcp=True, headers=BEARER)
    assert status == 403
    assert "in clear" in answer["error"]


async def test_a_certificate_is_enough(start):
    ca = trustme.CA()
    context, trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.configure_trust(context)
    ca.configure_trust(trust)
    context.verify_mode = ssl.CERT_REQUIRED
    ca.issue_cert("alice.example").configure_cert(trust)
    admin = await start(tls=context, certificates=True)
    status, answer = await admin.ask("/control/freeze", tcp=True, tls=trust)
    assert (status, answer["operator"]["by"]) == (200, "certificate alice.example")


async def test_refused_attempts_are_logged_but_do_not_fill_the_log(admin, caplog):
    caplog.set_level("INFO", "xds_server")
    for _ in range(30):
        await admin.ask("/control/rollback", tcp=True)
    said = [record.fields for record in caplog.records if record.message == "control.refused"]
    assert len(said) == 10
    assert said[0]["by"] == "address 127.0.0.1"
    assert said[0]["action"] == "rollback"


# --- the socket ------------------------------------------------------------------------------------------


async def test_the_socket_is_for_its_owner_and_goes_with_the_server(admin):
    assert stat.S_IMODE(admin.path.stat().st_mode) == 0o600
    assert [one.name for one in admin.path.parent.glob(".*")] == []
    await admin.server.stop()
    assert not admin.path.exists()


async def test_everything_else_is_there_too(admin):
    for path in ("/healthz", "/readyz", "/metrics", "/problems", "/load"):
        assert (await admin.ask(path, method="GET"))[0] == 200


def test_a_dead_socket_is_replaced(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    made = listen(path)
    made.listening.close()
    made.remove()
    assert not path.exists()


def test_a_socket_that_lives_is_not_taken(tmp_path):
    made = listen(tmp_path / "s")
    with pytest.raises(SocketError, match="another server listens"):
        listen(tmp_path / "s")
    made.listening.close()


def test_of_another_server_nothing_is_removed(tmp_path):
    path = tmp_path / "s"
    first = listen(path)
    first.listening.close()
    second = listen(path)
    first.remove()
    assert path.exists()
    second.listening.close()


@pytest.mark.parametrize("make", [lambda path: path.write_text("mine"), lambda path: path.mkdir()])
def test_what_is_no_socket_stays(tmp_path, make):
    make(tmp_path / "s")
    with pytest.raises(SocketError, match="is not a socket"):
        listen(tmp_path / "s")
    assert (tmp_path / "s").exists()


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "s").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SocketError, match="is not a socket"):
        listen(tmp_path / "s")


@pytest.mark.parametrize("path", ["no/such/directory/s", "x" * 200])
def test_a_path_that_cannot_be(tmp_path, path):
    with pytest.raises(SocketError, match="cannot be used"):
        listen(tmp_path / path)
