"""What outlives a restart besides the catalog, and what must never be on disk."""

import json

import aiohttp
import pytest

from tests.rig.eventually import eventually
from tests.rig.pem import Authority, write
from xds_server.files.last_good.envelope import unpack

pytestmark = pytest.mark.integration

TOKEN = "canary-token-0815-4711"


async def test_what_an_operator_froze_is_frozen_after_a_kill(delta_world):
    world = delta_world
    await world.instance("user")
    await world.start({"state_dir": "state"})
    await kept(world, services=1, pinned=False)
    await act(world, "freeze", {"reason": "incident"})
    await world.instance("order")
    await kept(world, services=1, pinned=True)
    await world.server.kill()
    await world.server.start()
    (restored,) = world.server.events("control.restored")
    assert restored["reason"] == "incident"
    # Consul has said by now that there is more, and it is not served.
    await eventually(lambda: sources(world), lambda found: found.get("consul dc1") == "live", within=20.0)
    assert (await sources(world))["operator"] == "frozen"
    await eventually(lambda: world.envoy.stat("control_plane.connected_state"), (1).__eq__, within=20.0)
    assert {"user"} <= set(await world.envoy.clusters()) <= {"user", "xds_cluster"}

    await act(world, "thaw", {})
    await world.serving("order", "order")
    await kept(world, services=2, pinned=False)


async def test_no_key_and_no_token_is_on_disk(delta_world, tmp_path):
    world = delta_world
    chain, key = Authority().pair()
    write(tmp_path, chain=chain, key=key)
    (tmp_path / "token").write_text(TOKEN)
    await world.instance("user")
    await world.start(
        {
            "state_dir": "state",
            "consul": {"token_file": "token"},
            "secrets": {"edge": {"cert_file": "chain.pem", "key_file": "key.pem"}},
        }
    )
    await kept(world, services=1, pinned=False)
    await world.server.process.end()

    for file in (world.directory / "state").iterdir():
        data = file.read_bytes()
        whole = data + unpack(data).body if data else b""
        lines = [line for line in key.splitlines() if not line.startswith(b"---")]
        assert [one for one in (TOKEN.encode(), b"PRIVATE", *lines) if one in whole] == []


async def state(world):
    return json.loads(await world.server.text("/state"))


async def sources(world):
    return {one["source"]: one["state"] for one in (await state(world))["sources"]}


async def kept(world, *, services, pinned):
    """Wait until so many services are on disk, and whether they are pinned."""
    path = world.directory / "state" / "last-good"

    def found():
        body = unpack(path.read_bytes()).body if path.exists() else b""
        return body, (b"incident" in body) is pinned

    await eventually(found, lambda one: one[1] and bool(one[0]), within=20.0)
    await eventually(lambda: state(world), lambda one: one["last_good"]["services"] >= services, within=20.0)


async def act(world, action, body):
    """Do what an operator does on the machine."""
    (path,) = world.directory.glob("xds-server-*.sock")
    connector = aiohttp.UnixConnector(str(path))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post(f"http://localhost/control/{action}", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
