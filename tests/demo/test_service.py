import asyncio
import contextlib
import signal
import sys

import aiohttp
import pytest
from aiohttp import web

from tests.rig.consul_agent import ConsulAgent, find_consul, free_ports
from xds_server.demo import registration

needs_consul = pytest.mark.skipif(find_consul() is None, reason="no Consul binary")


@contextlib.asynccontextmanager
async def service(name, *options):
    """Run one service as its own process; give its port and process."""
    (port,) = free_ports(1)
    command = (sys.executable, "-m", "xds_server.demo.service", name, "--port", str(port), *options)
    process = await asyncio.create_subprocess_exec(*command)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            await until(lambda: answers(session, "/health"))
            yield session, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until(fact, seconds=10.0):
    """Wait until an awaited fact is true and give it."""
    async with asyncio.timeout(seconds):
        while not (found := await fact()):  # noqa: ASYNC110 - other processes have no event
            await asyncio.sleep(0.02)
        return found


async def answers(session, path):
    try:
        async with session.get(path) as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def get(session, path="/"):
    async with session.get(path) as response:
        return response.status, await response.json()


async def rows(agent, status="passing"):
    found = await agent.get("/v1/health/service/user")
    return [row for row in found if {check["Status"] for check in row["Checks"]} == {status}]


@pytest.mark.integration
@needs_consul
async def test_it_registers_with_its_weight_and_a_check_and_leaves_at_sigterm():
    async with ConsulAgent() as agent:
        options = ("--instance", "user-1", "--weight", "3", "--consul", agent.address)
        async with service("user", *options) as (_, process):
            (row,) = await until(lambda: rows(agent))
            assert row["Service"]["ID"] == "user-1"
            assert row["Service"]["Address"] == "127.0.0.1"
            assert row["Service"]["Weights"] == {"Passing": 3, "Warning": 1}
            # Passing because it was asked, not only because we said so.
            await until(lambda: checked(agent))
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 5) == 0
            assert await agent.get("/v1/health/service/user") == []


async def checked(agent):
    checks = await agent.get("/v1/agent/checks")
    return any("200 OK" in check["Output"] for check in checks.values())


@contextlib.asynccontextmanager
async def kept_registered(address, monkeypatch):
    """Keep user-1 registered from here, looking more often than the service itself does."""
    monkeypatch.setattr(registration, "_LOOK_EVERY", 0.05)
    one = registration.Registration(name="user", id="user-1", address="127.0.0.1", port=free_ports(1)[0])
    keeping = asyncio.create_task(registration.Registrar(address, one).keep())
    yield
    keeping.cancel()


@pytest.mark.integration
@needs_consul
async def test_it_registers_with_an_agent_that_comes_later_and_again_with_one_that_forgot(monkeypatch):
    (port,) = free_ports(1)
    async with kept_registered(f"http://127.0.0.1:{port}", monkeypatch):
        for _ in range(2):
            async with ConsulAgent(http_port=port) as agent:
                await until(lambda: agent.get("/v1/health/service/user"))


@pytest.mark.integration
@needs_consul
async def test_one_taken_out_of_consul_stays_out(monkeypatch):
    async with ConsulAgent() as agent, kept_registered(agent.address, monkeypatch):
        await until(lambda: agent.get("/v1/health/service/user"))
        await agent.deregister("user-1")
        await asyncio.sleep(0.3)
        assert await agent.get("/v1/health/service/user") == []


async def test_failing_answers_503_while_the_check_stays_well():
    async with service("user", "--instance", "user-1") as (session, _):
        assert await get(session, "/a/b?c") == (
            200,
            {"service": "user", "instance": "user-1", "path": "/a/b"},
        )
        async with session.post("/fail") as answer:
            assert answer.status == 200
        status, body = await get(session)
        assert (status, body["instance"]) == (503, "user-1")
        assert (await get(session, "/health"))[0] == 200
        async with session.post("/recover") as answer:
            assert answer.status == 200
        assert (await get(session))[0] == 200


@contextlib.asynccontextmanager
async def proxy(status):
    """Stand where Envoy stands: answers 200 requests for `user` with its host, or fails."""

    async def answer(request):
        return web.json_response({"host": request.host}, status=status)

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_order_carries_the_answer_of_user_that_it_got_through_envoy():
    async with proxy(200) as upstream, service("order", "--upstream", upstream) as (session, _):
        status, body = await get(session)
        assert (status, body["user"]) == (200, {"host": "user"})


@pytest.mark.parametrize("up", [True, False])
async def test_order_answers_also_when_user_cannot(up):
    async with contextlib.AsyncExitStack() as stack:
        upstream = (
            await stack.enter_async_context(proxy(503)) if up else f"http://127.0.0.1:{free_ports(1)[0]}"
        )
        session, _ = await stack.enter_async_context(service("order", "--upstream", upstream))
        status, body = await get(session)
        assert status == 200
        assert ("user answered 503" if up else "user did not answer") in body["user"]["error"]
