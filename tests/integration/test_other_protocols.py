import asyncio
import contextlib

import grpc
import pytest

from tests.rig.eventually import eventually
from tests.rig.ports import free_port

pytestmark = pytest.mark.integration


async def test_a_tcp_listener_passes_connections_to_a_tcp_service(world):
    port = free_port()
    listener = {"name": "db", "address": f"127.0.0.1:{port}", "protocol": "tcp", "service": "db"}
    async with tcp_echo() as db_port:
        await world.consul.register("db", port=db_port)
        await world.start({"services": {"db": {"protocol": "tcp"}}, "listeners": [listener]})
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"select 1\n")
        assert await reader.readline() == b"select 1\n"
        # No virtual host leads a request to it.
        assert (await world.get("db")).status == 503
        # The service goes, and the listener with it; it comes back, and so does the listener.
        await world.consul.deregister(f"db-{db_port}")
        await eventually(world.server.problems, _lacks_a_service)
        # Its cluster outlives it, with nothing in it.
        assert await eventually(lambda: world.envoy.hosts("db"), lambda hosts: not hosts) == {}
        await world.consul.register("db", port=db_port)
        await eventually(lambda: echoed(port))
        writer.close()
        await writer.wait_closed()
    await world.envoy.updates()


async def test_grpc_goes_through_the_http_listener(world):
    async with grpc_echo() as port:
        await world.consul.register("echo", port=port)
        await world.start({"services": {"echo": {"protocol": "grpc"}}})
        options = [("grpc.default_authority", "echo")]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{world.http_port}", options) as channel:
            assert await channel.unary_unary("/test.Echo/Say")(b"hello", timeout=5) == b"hello"
            talk = channel.stream_stream("/test.Echo/Talk")()
            for word in (b"one", b"two"):
                await talk.write(word)
                assert await talk.read() == word
            await talk.done_writing()
            assert await talk.read() is grpc.aio.EOF
    await world.envoy.updates()


async def echoed(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"x\n")
        return await reader.readline() == b"x\n"
    finally:
        writer.close()
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def tcp_echo():
    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def grpc_echo():
    async def say(request, context):
        return request

    async def talk(requests, context):
        async for request in requests:
            yield request

    methods = {
        "Say": grpc.unary_unary_rpc_method_handler(say),
        "Talk": grpc.stream_stream_rpc_method_handler(talk),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


def _lacks_a_service(problems):
    return "listener-unknown-service" in {problem["code"] for problem in problems}
