import contextlib
import json
import subprocess

import pytest

from tests.integration.faults.kept import KEEPS, file_of, last_good, until_kept
from tests.rig.eventually import eventually
from tests.rig.fault_world import SERVICES


@pytest.mark.slow
async def test_f22_disk_full(agent, fault_world):
    async with fault_world(agent) as world:
        folder = world.directory / "state"
        with small_disk(folder):
            await world.start(KEEPS)
            await until_kept(world, len(SERVICES))
            good = file_of(world).read_bytes()
            filler = folder / "filler"
            fill(filler)
            await is_told_and_costs_nothing(world)
            assert file_of(world).read_bytes() == good
            filler.unlink()
            await recovers(world)
            await world.server.kill()
            await world.server.start()
            await world.converges(within=30.0)
            await world.server.stop()


@pytest.mark.slow
async def test_f22_state_dir_gone(agent, fault_world):
    async with fault_world(agent) as world:
        await world.start(KEEPS)
        await until_kept(world, len(SERVICES))
        folder = file_of(world).parent
        folder.rename(folder.with_name("elsewhere"))
        # A directory that is not there would be made.
        folder.touch()
        await is_told_and_costs_nothing(world)
        folder.unlink()
        folder.with_name("elsewhere").rename(folder)
        await recovers(world)
        await world.converges(within=30.0)


async def is_told_and_costs_nothing(world):
    """Change something that cannot be written: it is served all the same, and the failure is told once."""
    one = await world.instance("order", "order-2")
    await eventually(lambda: one.requests > 0, within=20.0)
    await eventually(lambda: last_good(world), lambda told: told["error"], within=20.0)
    await world.holds(3.0)
    assert len(world.server.events("last_good.not_kept")) == 1
    assert (await world.server.metrics()).total("xds_last_good_writes_total", result="failed") >= 1
    assert await world.server.status("/readyz") == 200


async def recovers(world):
    """Wait for the next try, which comes every 10 s."""
    await eventually(lambda: last_good(world), lambda told: not told["error"], within=30.0)
    assert len(world.server.events("last_good.kept")) == 2
    assert sorted(one.name for one in file_of(world).parent.iterdir()) == ["last-good", "lock"]


@pytest.mark.slow
async def test_f22_state_damaged(agent, fault_world):
    async with fault_world(agent) as world:
        await world.start(KEEPS)
        await until_kept(world, len(SERVICES))
        await world.server.kill()
        data = bytearray(file_of(world).read_bytes())
        data[len(data) // 2] ^= 1
        file_of(world).write_bytes(data)
        await agent.kill()
        await world.server.start(ready_within=None)
        assert await world.server.status("/readyz") == 503
        (source, *_) = [
            one
            for one in json.loads(await world.server.text("/state"))["sources"]
            if one["source"] == "last good"
        ]
        assert "is not used: it is cut short or damaged" in source["reason"]
        (refused,) = world.server.events("last_good.refused")
        assert refused["set_aside"] == f"{file_of(world)}.refused"
        # Envoy has what it had, and nobody tells it otherwise.
        await world.holds(3.0)
        await agent.start()
        await world.converges(within=30.0)
        await until_kept(world, len(SERVICES))


@contextlib.contextmanager
def small_disk(folder):
    """Be a disk of 64 kB, where this process may make one."""
    folder.mkdir()
    command = ("mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(folder))
    made = subprocess.run(command, capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file):
    """Write until there is no room left."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as opened:
        while True:
            opened.write(bytes(512))
