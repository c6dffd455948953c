"""`serve` with two workers: real processes, one port, and one server to Consul, Envoys and the operator."""

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path

import pytest
import yaml
from google.rpc.status_pb2 import Status

from tests.cli.invoke import xds_server
from tests.rig.eventually import eventually
from tests.rig.server import XdsServer
from tests.rig.xds_client import XdsStream
from xds_server.model.types import TypeUrl

pytestmark = pytest.mark.integration

TWO = {"workers": 2, "xds": {"drain_time": 0}}
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


async def workers(server) -> list[dict]:
    """Give what /state says of the workers."""
    return json.loads(await server.text("/state"))["workers"]


async def all_listen(server, but=frozenset()):
    """Wait until every worker listens, none of them with one of these process ids."""

    def listen(found):
        return all(one["pid"] and one["pid"] not in but for one in found)

    return await eventually(lambda: workers(server), listen, within=20.0)


def connected(pid: int, port: int) -> bool:
    """Tell whether a process has a TCP connection to a port (proc(5))."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{line[9]}]" for line in lines if int(line[2].rpartition(":")[2], 16) == port}
    with contextlib.suppress(OSError):
        return any(str(one.readlink()) in sockets for one in Path(f"/proc/{pid}/fd").iterdir())
    return False


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()


async def test_an_envoy_is_served_on_when_its_worker_is_killed(delta_world):
    world = delta_world
    first = await world.instance("user", "user-1")
    server = await world.start_server(TWO)
    await world.start_envoy()
    await world.serving("user", "user-1")

    before = await eventually(lambda: workers(server), lambda now: total(now) == 1)
    parent = server.process._process.pid
    assert connected(parent, world.consul.http_port)
    assert not any(connected(one["pid"], world.consul.http_port) for one in before)
    sent = await server.sent()
    assert sent > 0

    async with world.load("user", workers=2, pause=0.01) as load:
        await load.more(20)
        holder = next(one for one in before if one["streams"])
        os.kill(holder["pid"], signal.SIGKILL)
        await eventually(lambda: workers(server), lambda now: total(now) == 1 and now != before)
        await world.register("user", first, weights=(7, 1))
        await world.instance("user", "user-2")
        await load.until(lambda: load.bodies()["user-2"] > 0, within=20.0)
        assert load.failures == []

    again = await all_listen(server, {holder["pid"]})
    assert len({one["pid"] for one in [*before, *again]}) == 3
    # Workers tell what they counted now and then.
    await eventually(server.sent, lambda now: now > sent)
    (ended,) = server.events("task.failed")
    assert ended["task"] == f"worker {holder['worker']}"
    assert "by signal 9" in ended["error"]
    assert [one["worker"] for one in server.events("worker.listening")][2:] == [holder["worker"]]
    assert await eventually(server.problems, lambda problems: problems == []) == []

    assert await server.process.end(signal.SIGTERM) == 0
    assert all(is_gone(one["pid"]) for one in again)


async def streams_on_both(stack, server, names):
    """Give streams with the first response of each, some on either worker: the kernel decides on which."""
    found = []
    for _ in range(4):
        for _ in range(6):
            stream = await stack.enter_async_context(
                XdsStream(server.address, "delta", options=OWN_CONNECTION)
            )
            await stream.send(stream.request(type_url=TypeUrl.CLUSTER, node=f"edge-{len(found)}"))
            response = await stream.receive()
            assert [one.name for one in response.resources] == names
            await stream.send(stream.request(type_url=TypeUrl.CLUSTER, response_nonce=response.nonce))
            found.append((stream, response))
        now = await eventually(lambda: workers(server), lambda now: total(now) == len(found))
        if all(one["streams"] for one in now):
            return found
    raise AssertionError(f"one worker has all of the streams: {now}")


def total(states):
    return sum(one["streams"] for one in states)


@contextlib.asynccontextmanager
async def from_file(directory: Path):
    """Give a server with two workers and the services of a file, and what writes that file."""
    file = directory / "catalog.yaml"

    def write(**ports: int) -> None:
        services = {
            name: {"instances": [{"address": "127.0.0.1", "port": port}]} for name, port in ports.items()
        }
        file.with_suffix(".new").write_text(yaml.safe_dump({"services": services}))
        file.with_suffix(".new").replace(file)

    write(user=8001)
    server = XdsServer(directory, ("--catalog", str(file)), TWO)
    try:
        await server.start()
        yield server, write
    finally:
        await server.stop()


async def operate(server, directory, *words):
    """Run a command on the admin socket."""
    socket = f"unix:{directory}/xds-server-{server.admin_port}.sock"
    result = await asyncio.to_thread(xds_server, *words, "--admin", socket, "-o", "json")
    assert result.exit_code == 0, result.output


async def known(server) -> int:
    """Give how many services the guards let through."""
    services: int = json.loads(await server.text("/state"))["services"]
    return services


async def test_two_workers_are_one_server(tmp_path):
    async with from_file(tmp_path) as (server, write), contextlib.AsyncExitStack() as stack:
        pids = [one["pid"] for one in await workers(server)]
        found = await streams_on_both(stack, server, ["user"])

        # They send the same; the metrics and the problems are those of both.
        assert len({response.resources[0].version for _, response in found}) == 1
        metrics = await eventually(server.metrics, lambda now: now.total("xds_streams") == len(found))
        assert metrics.total("xds_responses_total", type="Cluster") == len(found)
        assert metrics.total("xds_workers") == 2

        # What an operator freezes stands still for the clients of both.
        await stack.aclose()
        await eventually(lambda: workers(server), lambda now: total(now) == 0)
        await operate(server, tmp_path, "freeze")
        write(user=8001, order=8002)
        await eventually(lambda: known(server), (2).__eq__)
        found = await streams_on_both(stack, server, ["user"])
        await operate(server, tmp_path, "freeze", "--release")
        for stream, _ in found:
            last = await stream.receive()
            assert [one.name for one in last.resources] == ["order"]
            refusal = {"response_nonce": last.nonce, "error_detail": Status(code=3, message="no")}
            await stream.send(stream.request(type_url=TypeUrl.CLUSTER, **refusal))
        await eventually(server.metrics, lambda now: now.total("xds_nacks_total") == len(found))
        rejected = await eventually(server.problems, bool)
        assert {one["code"] for one in rejected} == {"resource-rejected"}
        assert len(json.loads(await server.text("/state"))["workers"]) == 2

        # Nobody else gets their port.
        second = XdsServer(tmp_path, server._source, TWO, name="second")
        second.port = server.port
        await second.process.start(second.command())
        assert await second.process.wait(20.0) == 1
        assert f"127.0.0.1:{server.port} cannot be bound" in second.process.output

        # Without their parent they end.
        await server.kill()
        await eventually(lambda: asyncio.to_thread(all, map(is_gone, pids)), within=15.0)
