"""A program that uses gRPC with xDS, to be run as a process of its own: `GRPC_XDS_BOOTSTRAP` is read once.

It reads commands from standard input and answers each on standard output, a line of JSON both. It ends when
its standard input does, so it cannot outlive the test.
"""

import asyncio
import base64
import json
import sys
import time
from collections import Counter
from concurrent import futures
from typing import Any

import grpc
from grpc._cython import cygrpc

METHOD = "/test.Greeter/Greet"


class Channels:
    """Channels of both kinds, by target, open until they are closed."""

    def __init__(self) -> None:
        self._asynchronous: dict[str, grpc.aio.Channel] = {}
        self._blocking: dict[str, grpc.Channel] = {}

    async def call(self, command: dict[str, Any]) -> dict[str, Any]:
        """Make `count` calls one after the other; give who answered how often, and the errors by status."""
        answers: Counter[str] = Counter()
        errors: list[list[str]] = []
        started = time.monotonic()
        for _ in range(command["count"]):
            try:
                answers[(await self._once(command)).decode()] += 1
            except grpc.RpcError as error:
                errors.append([error.code().name, error.details() or ""])
        return {"answers": answers, "errors": errors, "seconds": time.monotonic() - started}

    async def close(self, command: dict[str, Any]) -> dict[str, Any]:
        """Close the channel of a target."""
        await self._asynchronous.pop(command["target"]).close()
        return {}

    async def _once(self, command: dict[str, Any]) -> bytes:
        target, method = command["target"], command["method"]
        metadata = [tuple(pair) for pair in command["metadata"]]
        options: dict[str, Any] = {"timeout": command["timeout"], "metadata": metadata}
        if command["blocking"]:
            if target not in self._blocking:
                self._blocking[target] = grpc.insecure_channel(target)
            answer: bytes = self._blocking[target].unary_unary(method)(b"", **options)
            return answer
        if target not in self._asynchronous:
            self._asynchronous[target] = grpc.aio.insecure_channel(target)
        answered: bytes = await self._asynchronous[target].unary_unary(method)(b"", **options)
        return answered


class Greeter(grpc.GenericRpcHandler):
    """Answers every call with a name."""

    def __init__(self, name: str) -> None:
        self._answer = name.encode()

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """Take any method."""
        del details
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._answer)


def serve(command: dict[str, Any]) -> tuple[grpc.Server, dict[str, Any]]:
    """Start a gRPC server that gets its listener over xDS."""
    server = grpc.server(futures.ThreadPoolExecutor(2), xds=True, handlers=(Greeter(command["name"]),))
    server.add_insecure_port(command["address"])
    server.start()
    return server, {}


def status() -> dict[str, Any]:
    """Give what this process says of its own xDS state: a ClientStatusResponse, as `grpcio-csds` gives it."""
    return {"status": base64.b64encode(cygrpc.dump_xds_configs()).decode()}


async def main() -> None:
    """Do what standard input says until it ends."""
    channels, servers = Channels(), []
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(line)
        match command["do"]:
            case "call":
                answer = await channels.call(command)
            case "close":
                answer = await channels.close(command)
            case "status":
                answer = status()
            case "serve":
                server, answer = serve(command)
                servers.append(server)
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
