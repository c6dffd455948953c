import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.rig.consul_agent import find_consul, free_ports
from xds_server.demo.binaries import find_envoy
from xds_server.demo.errors import DemoError
from xds_server.demo.ports import is_free

OPTIONS = ("--port", "--xds-port", "--admin-port", "--envoy-admin-port", "--consul-port")

needs_consul = pytest.mark.skipif(find_consul() is None, reason="no Consul binary")


def has_envoy():
    with contextlib.suppress(DemoError):
        return find_envoy() is not None
    return False


needs_envoy = pytest.mark.skipif(not has_envoy(), reason="no Envoy binary")


@dataclass
class Demo:
    process: asyncio.subprocess.Process
    ports: dict[str, int]
    directory: Path

    @property
    def listener(self):
        return f"http://127.0.0.1:{self.ports['--port']}"

    @property
    def envoy_admin(self):
        return f"http://127.0.0.1:{self.ports['--envoy-admin-port']}"

    async def read_until(self, word):
        said = ""
        async with asyncio.timeout(30):
            while word not in said:
                line = (await self.process.stdout.readline()).decode()
                assert line, said
                said += line
        return said

    async def ended(self):
        out, err = await asyncio.wait_for(self.process.communicate(), 30)
        return self.process.returncode, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def demo(directory, *options, ports=None, env=None):
    """Start `xds-server demo` on free ports, its files under `directory`."""
    ports = dict(zip(OPTIONS, ports or free_ports(len(OPTIONS)), strict=True))
    given = [word for name, port in ports.items() for word in (name, str(port))]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "xds_server", "demo", *given, *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(directory), "NO_COLOR": "1"} | (env or {}),
    )
    try:
        yield Demo(process, ports, directory)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


def nothing_is_left(demo):
    return all(is_free(port) for port in demo.ports.values()) and not processes_in(demo.directory)


def processes_in(directory):
    """Give the processes that work under a directory; every part of the demo does."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if entry.resolve().is_relative_to(directory.resolve()):
                found.append(entry.parent.name)
    return found


async def until(fact, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not await fact():  # noqa: ASYNC110 - other processes have no event
            await asyncio.sleep(0.05)


async def text(session, url, host="localhost"):
    async with session.get(url, headers={"Host": host}) as response:
        return await response.text()


async def test_taken_ports_are_named_all_at_once_before_anything_starts(tmp_path):
    ports = free_ports(len(OPTIONS))
    async with (
        await asyncio.start_server(print, "127.0.0.1", ports[0]),
        await asyncio.start_server(print, "127.0.0.1", ports[3]),
        demo(tmp_path, "--no-consul", ports=ports) as running,
    ):
        code, out, err = await running.ended()
    assert (code, out) == (2, "")
    assert f"Port {ports[0]} (Envoy's listener) is taken, move it with --port" in err
    assert f"port {ports[3]} (Envoy's admin) is taken, move it with --envoy-admin-port" in err
    assert list(tmp_path.iterdir()) == []


async def test_a_missing_envoy_is_told_in_one_sentence(tmp_path):
    async with demo(tmp_path, env={"ENVOY_BIN": "/nowhere/envoy"}) as running:
        code, _, err = await running.ended()
    assert code == 1
    assert err == (
        "Error: ENVOY_BIN is set to '/nowhere/envoy', which is not an executable file: correct or unset it.\n"
    )


@pytest.mark.integration
@needs_envoy
async def test_once_with_a_catalog_file_answers_and_leaves_nothing(tmp_path):
    async with demo(tmp_path, "--no-consul", "--once") as running:
        code, out, err = await running.ended()
        assert (code, err) == (0, "")
        assert "order-2 answered through Envoy" in out
        assert f"curl -s -H 'Host: user' 127.0.0.1:{running.ports['--port']}" in out
        assert nothing_is_left(running)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
@needs_envoy
@needs_consul
async def test_a_failing_instance_is_ejected_and_ctrl_c_leaves_nothing(tmp_path):
    async with demo(tmp_path) as running, aiohttp.ClientSession() as session:
        told = await running.read_until("Ctrl-C")
        order = json.loads(await text(session, running.listener, host="order"))
        assert order["service"] == "order"
        assert order["user"]["service"] == "user"

        user_1 = re.search(r"^  user-1, weight 1 +(http://\S+)$", told, re.MULTILINE)[1]
        await session.post(f"{user_1}/fail")

        async def ejected():
            await text(session, running.listener, host="user")
            clusters = await text(session, f"{running.envoy_admin}/clusters")
            address = user_1.removeprefix("http://")
            return f"user::{address}::health_flags::/failed_outlier_check" in clusters

        await until(ejected)
        running.process.send_signal(signal.SIGINT)
        code, _, err = await running.ended()
        assert (code, err) == (0, "")
        assert nothing_is_left(running)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
@needs_envoy
async def test_a_part_that_dies_ends_the_demo_and_is_named_with_its_last_lines(tmp_path):
    async with demo(tmp_path, "--no-consul") as running:
        await running.read_until("Ctrl-C")
        (directory,) = tmp_path.iterdir()
        os.kill(pid_of("envoy.json", tmp_path), signal.SIGKILL)
        code, _, err = await running.ended()
        assert code == 1
        assert err.startswith(
            "Error: envoy was killed by SIGKILL, so the demo ended.\nIts last lines were:\n"
        )
        assert err.endswith(f"The output of every part is in {directory}\n")
        assert nothing_is_left(running)


def pid_of(word, directory):
    (found,) = (pid for pid in processes_in(directory) if word in Path(f"/proc/{pid}/cmdline").read_text())
    return int(found)
