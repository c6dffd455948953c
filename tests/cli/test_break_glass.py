"""`xds-server freeze`, `rollback` and `accept` against a real server process and its socket."""

import asyncio
import json
import os
import threading
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.cli.invoke import sentence, xds_server
from tests.rig.eventually import eventually
from tests.rig.ports import free_port
from tests.rig.server import XdsServer
from xds_server.cli.shown import few, plain, table

ONE = "services: {a: {instances: [{address: 10.0.0.1, port: 1}]}}\n"
TWO = ONE[:-2] + ", b: {instances: [{address: 10.0.0.1, port: 2}]}}\n"
TOKEN = "0123456789abcdef-token"


async def run(*words, env=None):
    return await asyncio.to_thread(xds_server, *words, env=env)


def replace(file, text):
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(file)


@asynccontextmanager
async def running(tmp_path, settings=None):
    """A server with one service in its catalog file; its socket is in the directory."""
    file = tmp_path / "catalog.yaml"
    file.write_text(ONE)
    async with XdsServer(tmp_path, ("--catalog", str(file)), settings) as server:
        yield server, file


async def test_the_hour_of_an_incident(tmp_path):
    async with running(tmp_path) as (server, file):
        socket = f"unix:{tmp_path}/xds-server-{server.admin_port}.sock"

        result = await run("freeze", "--reason", "INC-42", "--admin", socket)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == "frozen at state 1: services that change or come now are not served\n"
        replace(file, TWO)
        await eventually(lambda: server.events("catalog.file_reloaded"))
        result = await run("status", "--admin", socket)
        assert result.exit_code == 1
        assert result.stdout.startswith("ready, FROZEN by operator, ")
        assert f"frozen at state 1 by uid {os.getuid()} pid " in result.stdout
        assert (await server.metrics()).total("xds_snapshot_resources", type="Cluster") == 1

        assert (await run("freeze", "--release", "--admin", socket)).exit_code == 0
        await eventually(clusters(server), (2.0).__eq__)
        assert (await run("status", "--admin", socket)).exit_code == 0

        result = await run("rollback", "--list", "--admin", socket)
        rows = [line.split() for line in result.stdout.splitlines()]
        assert rows[0] == ["STATE", "SINCE", "SERVICES", "CHANGED"]
        assert rows[1][0] == "*"
        assert rows[1][3:] == ["2", "+b"]
        assert rows[2][0] == "1"

        result = await run("rollback", "-o", "json", "--admin", socket)
        assert json.loads(result.stdout)["operator"]["kind"] == "rolled-back"
        await eventually(clusters(server), (1.0).__eq__)
        result = await run("rollback", "--admin", socket)
        assert result.exit_code == 1
        assert sentence(result) == "Error: there is no earlier state; the history has " + ", ".join(
            sorted((rows[1][1], "1"), key=int)
        )

        done = [
            line["event"]
            for name in ("frozen", "thawed", "rolled_back")
            for line in server.events(f"control.{name}")
        ]
        assert done == ["control.frozen", "control.thawed", "control.rolled_back"]
        assert server.events("control.frozen")[0]["reason"] == "INC-42"


def clusters(server):
    async def count():
        return (await server.metrics()).total("xds_snapshot_resources", type="Cluster")

    return count


async def test_over_tcp_the_socket_is_named(tmp_path):
    async with running(tmp_path) as (server, _):
        address = f"127.0.0.1:{server.admin_port}"
        for command in (("freeze",), ("rollback", "1"), ("accept", "--all")):
            result = await run(*command, "--admin", address)
            assert result.exit_code == 2
            assert f"use the unix socket {tmp_path}/xds-server-{server.admin_port}.sock" in sentence(result)
        assert (await run("accept", "--admin", address)).stdout == "nothing is held\n"


async def test_with_a_token_one_may_act_over_tcp_too(tmp_path):
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    token.chmod(0o600)
    async with running(tmp_path, {"admin": {"token_file": "token", "socket": "off"}}) as (server, _):
        address = f"127.0.0.1:{server.admin_port}"
        assert not (tmp_path / f"xds-server-{server.admin_port}.sock").exists()
        assert (await run("freeze", "--admin", address)).exit_code == 2
        result = await run("freeze", "--admin", address, "--token-file", token)
        assert (result.exit_code, result.stderr) == (0, "")
        assert server.events("control.frozen")[0]["by"] == "token from 127.0.0.1"
        assert TOKEN not in server.process.output


async def test_a_socket_that_cannot_be_costs_only_itself(tmp_path):
    (tmp_path / "mine").write_text("a file")
    async with running(tmp_path, {"admin": {"socket": "mine"}}) as (server, _):
        (line,) = server.events("admin.socket_failed")
        assert "is not a socket" in line["error"]
        assert (tmp_path / "mine").read_text() == "a file"


async def test_after_kill_9_the_socket_is_there_again(tmp_path):
    async with running(tmp_path) as (server, _):
        socket = f"unix:{tmp_path}/xds-server-{server.admin_port}.sock"
        await server.kill()
        result = await run("freeze", "--admin", socket)
        assert result.exit_code == 3
        assert sentence(result).startswith(f"Error: no xds-server answers at {socket}: ")
        await server.start()
        assert (await run("freeze", "--admin", socket)).exit_code == 0


async def test_a_freeze_outlives_a_restart_with_a_state_dir(tmp_path):
    (tmp_path / "state").mkdir(mode=0o700)
    async with running(tmp_path, {"state_dir": "state"}) as (server, file):
        socket = f"unix:{tmp_path}/xds-server-{server.admin_port}.sock"
        assert (await run("freeze", "--reason", "INC-42", "--admin", socket)).exit_code == 0
        await server.process.end()
        replace(file, TWO)
        await server.start()
        await eventually(lambda: server.events("control.restored"))
        result = await run("status", "--admin", socket)
        assert result.stdout.startswith("ready, FROZEN by operator, ")
        assert "INC-42" in result.stdout
        assert await clusters(server)() == 1
        assert (await run("freeze", "--release", "--admin", socket)).exit_code == 0
        await eventually(clusters(server), (2.0).__eq__, within=10.0)


def test_without_a_server_it_says_what_was_tried(tmp_path):
    env = {"XDG_RUNTIME_DIR": str(tmp_path), "XDS_ADMIN": f"127.0.0.1:{free_port()}"}
    for command in (("freeze",), ("rollback",), ("rollback", "--list"), ("accept",), ("accept", "--all")):
        result = xds_server(*command, env=env)
        assert result.exit_code == 3
        assert f"no xds-server answers at {env['XDS_ADMIN']}" in sentence(result)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("freeze", "--release", "--reason", "x"), "--reason is for a freeze"),
        (("rollback", "--list", "3"), "--list stands alone"),
        (("rollback", "x"), "'x' is not a valid integer"),
        (("accept", "x", "--all"), "name one HOLD, or give --all"),
        (("freeze", "--admin", "nowhere"), "is not HOST:PORT, nor unix:PATH"),
        (("freeze", "--tls-cert", "x"), "go together"),
        (("freeze", "--admin", "h:1", "--tls-cert", "x", "--tls-key", "y"), "need --tls-ca"),
        (("freeze", "--token-file", "/nowhere/token"), "/nowhere/token cannot be read"),
    ],
)
def test_a_call_that_is_not_right(words, said, tmp_path):
    result = xds_server(*words, env={"XDG_RUNTIME_DIR": str(tmp_path)})
    assert result.exit_code == 2
    assert said in sentence(result)


def test_a_token_file_that_is_no_token(tmp_path):
    for name, data in (("empty", b""), ("lines", b"one\ntwo"), ("binary", b"\xff\xfe\x00")):
        (tmp_path / name).write_bytes(data)
        result = xds_server("freeze", "--admin", "h:1", "--token-file", tmp_path / name)
        assert result.exit_code == 2
        assert str(tmp_path / name) in sentence(result)


# --- another program, and an older one, behind the address ------------------------------------------------


@pytest.fixture
def answering():
    """Answer every request with this status and body."""
    servers = []

    def start(status, body):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def do_GET(self):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Say nothing."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_another_program(answering):
    result = xds_server("freeze", "--admin", answering(200, b"<html>"))
    assert result.exit_code == 3


def test_a_server_that_is_too_old(answering):
    result = xds_server("freeze", "--admin", answering(404, b"{}"))
    assert (result.exit_code, "too old" in sentence(result)) == (1, True)


def test_what_a_terminal_would_obey_is_escaped(answering):
    state = {"ready": True, "services": 1, "sources": [], "held": 3}
    hold = {
        "guard": "g",
        "subject": "x\x1b[2J",
        "sentence": "a\nb",
        "release": "r",
        "since": 1.0,
        "until": None,
    }
    body = json.dumps({**state, "holds": [{"id": "g/x\x1b[2J", **hold}]}).encode()
    for command in ("accept", "status"):
        result = xds_server(command, "--admin", answering(200, body))
        assert result.exit_code == 1
        assert "\x1b" not in result.stdout
        assert "g/x\\x1b[2J" in result.stdout
        assert "and 2 more" in result.stdout


def test_few_names():
    assert few("+", ["a", "b"], 2) == "+a +b"
    assert few("+", [str(number) for number in range(20)], 100) == "+0 +1 +2 +3 +4 and 95 more"
    assert few("+", [], 0) == ""


def test_a_table():
    assert table([("A", "B"), ("xx", "y\t")]) == "A   B\nxx  y\\x09"
    assert plain("é ok") == "é ok"
