import time

from tests.integration.faults.streams import OWN_CONNECTION
from tests.rig.eventually import eventually
from tests.rig.fault_proxy import FaultProxy
from tests.rig.load import Load
from tests.rig.near_world import NearWorld
from tests.rig.xds_client import XdsStream
from xds_server.model.secret import Secret, Secrets
from xds_server.model.types import TypeUrl
from xds_server.transport import StreamLimits

SIZE = 5_000_000
WRITE = 3.0


async def test_f38_slow_reader(tmp_path, record_property):
    """A client reads 1 kB a second of a response of 5 MB; the Envoy beside it has each change at once."""
    async with NearWorld(tmp_path, "delta", limits=StreamLimits(write=WRITE)) as world:
        user, second = await world.upstream("user"), await world.upstream("user-2")
        world.inputs.secrets.publish(Secrets(by_name={"big": Secret(name="big", trusted_ca=b"x" * SIZE)}))
        world.feed(user=[user.port])
        await world.start_envoy()
        fleet = world.serving.fleet
        async with (
            Load(f"http://127.0.0.1:{world.http_port}/", host="user", workers=1, pause=0.02) as load,
            FaultProxy(world.serving.port) as way,
        ):
            way.throttle = 1_000
            async with XdsStream(("127.0.0.1", way.port), "delta", options=OWN_CONNECTION) as slow:
                names = ["big:ca"]
                await slow.send(
                    slow.request(type_url=TypeUrl.SECRET, node="slow", resource_names_subscribe=names)
                )
                await eventually(lambda: len(fleet.sessions) == 2, within=15.0)
                began, changes, slowest = time.monotonic(), 0, 0.0
                while len(fleet.sessions) == 2:
                    changes += 1
                    ports = [user.port, second.port][: 1 + changes % 2]
                    changed = time.monotonic()
                    world.feed(user=ports)
                    await eventually(
                        lambda ports=ports: world.envoy.hosts("user"),
                        lambda hosts, ports=ports: len(hosts) == len(ports),
                        within=2.0,
                    )
                    slowest = max(slowest, time.monotonic() - changed)
                    assert time.monotonic() - began < 10 * WRITE
                record_property("closed_after_s", round(time.monotonic() - began, 1))
                record_property("slowest_change_s", round(slowest, 2))
            assert changes > 3
            await eventually(lambda: world.serving.server.slots == 1, within=15.0)
        assert not load.failures
        record_property("requests", len(load.answers))
        record_property("failed", len(load.failures))
