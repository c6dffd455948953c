"""`xds-server status` against the real admin port."""

import asyncio
import json
import ssl
import threading

import pytest
import trustme

from tests.cli.invoke import sentence, xds_server
from tests.rig.ports import free_port
from tests.rig.server import XdsServer
from tests.runtime.inputs import Inputs, catalog
from xds_server.admin import AdminServer, Sources, application
from xds_server.model.hold import Hold
from xds_server.model.standing import Standing, State
from xds_server.runtime.latest import Latest
from xds_server.runtime.load import Loads


def standing(source="consul dc1", state=State.LIVE, reason=""):
    return Standing(source=source, state=state, reason=reason, since=1_795_356_310.2)


@pytest.fixture
def serve():
    """Run an admin port with these standings in a thread of its own; give its address."""
    ends = []

    def start(*standings, ready=True, tls=None, holds=()):
        address, stop, running = [], threading.Event(), threading.Event()

        async def run():
            inputs = Inputs(catalog(a=1, b=2))
            building = asyncio.create_task(inputs.pipeline.run()) if ready else None
            if ready:
                await inputs.pipeline.snapshot.get()
            sources = Sources(believed=inputs.catalog, standings=Latest(standings))
            sources.holders.append(lambda: holds)
            server = AdminServer(application(inputs.pipeline, Loads(), sources))
            address.append(f"127.0.0.1:{await server.start('127.0.0.1', 0, tls)}")
            running.set()
            await asyncio.to_thread(stop.wait)
            await server.stop()
            if building is not None:
                building.cancel()

        thread = threading.Thread(target=lambda: asyncio.run(run()))
        thread.start()
        ends.append((stop, thread))
        assert running.wait(10)
        return address[0]

    yield start
    for stop, thread in ends:
        stop.set()
        thread.join()


def test_what_guards_hold_is_listed_with_what_releases_it(serve):
    hold = Hold(
        guard="last-endpoint",
        subject="user",
        sentence='service "user" has no instance any more',
        release="it ends when an instance is registered",
        since=1_795_356_310.2,
    )
    result = xds_server("status", "--admin", serve(standing(), holds=(hold,)))

    assert result.exit_code == 1
    assert "last-endpoint/user" in result.stdout
    assert 'service "user" has no instance any more' in result.stdout
    assert "xds-server accept" in result.stdout


def test_all_is_live(serve):
    result = xds_server("status", "--admin", serve(standing()))

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "ready, 2 services",
        "",
        "SOURCE      STATE  SINCE                 REASON",
        "consul dc1  live   2026-11-22T14:05:10Z",
    ]


@pytest.mark.parametrize("state", [State.STALE, State.FROZEN])
def test_one_source_that_is_not_live_is_found(serve, state):
    result = xds_server("status", "--admin", serve(standing(), standing("consul dc2", state, "Mend it.")))

    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1].split() == [
        *("consul", "dc2", state.value, "2026-11-22T14:05:10Z", "Mend", "it.")
    ]


def test_a_server_that_is_not_ready_is_found(serve):
    result = xds_server("status", "--admin", serve(standing(), ready=False))

    assert result.exit_code == 1
    assert result.stdout.startswith("not ready, ")


def test_json_is_what_the_admin_port_says(serve):
    result = xds_server("status", "-o", "json", "--admin", serve(standing(state=State.STALE, reason="Wait.")))

    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "held": 0,
        "holds": [],
        "operator": None,
        "ready": True,
        "services": 2,
        "sources": [{"source": "consul dc1", "state": "stale", "reason": "Wait.", "since": 1_795_356_310.2}],
    }


def test_the_admin_port_may_come_from_the_environment(serve):
    assert xds_server("status", env={"XDS_ADMIN": serve(standing())}).exit_code == 0


def test_with_tls(serve, tmp_path):
    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    address = serve(standing(), tls=context)

    assert xds_server("status", "--admin", address, "--tls-ca", tmp_path / "ca.pem").exit_code == 0
    assert xds_server("status", "--admin", address).exit_code == 3


async def test_a_running_server_with_a_catalog_file(tmp_path):
    file = tmp_path / "catalog.yaml"
    file.write_text("services: {a: {instances: [{address: 10.0.0.1, port: 1}]}}\n")
    async with XdsServer(tmp_path, ("--catalog", str(file))) as server:
        admin = f"127.0.0.1:{server.admin_port}"
        result = await asyncio.to_thread(xds_server, "status", "--admin", admin)

    assert result.exit_code == 0
    assert result.stdout.startswith("ready, 1 service\n")
    assert result.stdout.splitlines()[-1].startswith(f"file {file}  live   20")


def test_nobody_is_there():
    result = xds_server("status", "--admin", f"127.0.0.1:{free_port()}")

    assert result.exit_code == 3
    assert sentence(result).startswith("Error: no xds-server answers at 127.0.0.1:")


@pytest.mark.parametrize("admin", ["x", ":1", "host:", "host:0", "host:99999", "host:٣"])
def test_an_address_that_is_none(admin):
    result = xds_server("status", "--admin", admin)

    assert result.exit_code == 2
    assert "is not HOST:PORT" in sentence(result)


def test_a_ca_file_that_is_none(tmp_path):
    result = xds_server("status", "--tls-ca", tmp_path / "none.pem")

    assert result.exit_code == 2
    assert "none.pem cannot be used" in sentence(result)
