"""gRPC without a proxy: programs that speak xDS, and the instances they call.

async with GrpcInstance("user-1") as instance, GrpcProgram(directory, bootstrap) as program:
    calls = await program.call("xds:///user", count=100)
    assert calls.answers == {"user-1": 100}
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from envoy.service.status.v3.csds_pb2 import ClientStatusResponse

from tests.cli.invoke import xds_server
from tests.rig import grpc_program
from tests.rig.grpc_program import METHOD


@dataclass(frozen=True, kw_only=True)
class Calls:
    """What became of some calls: who answered how often, and the errors as (status, text)."""

    answers: Mapping[str, int]
    errors: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0


def bootstrap_file(directory: Path, *options: str) -> Path:
    """Write what `xds-server bootstrap --grpc` prints, with these options."""
    result = xds_server("bootstrap", "--grpc", *options)
    assert result.exit_code == 0, result.stderr
    file = directory / f"grpc-{abs(hash(options)):x}.json"
    file.write_text(result.stdout)
    return file


class GrpcProgram:
    """One process that calls or serves by gRPC with xDS; `environment` is laid over our own."""

    def __init__(self, bootstrap: Path, environment: Mapping[str, str] | None = None) -> None:
        self._environment = {**os.environ, "GRPC_XDS_BOOTSTRAP": str(bootstrap), **(environment or {})}
        self._log = bootstrap.with_suffix(".log")
        self._process: asyncio.subprocess.Process
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                grpc_program.__file__,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()

    @property
    def log(self) -> str:
        """What gRPC itself has logged."""
        return self._log.read_text(errors="replace")

    async def call(
        self,
        target: str,
        *,
        count: int = 1,
        timeout: float = 5.0,  # noqa: ASYNC109 - of each call, on its own side
        blocking: bool = False,
        method: str = METHOD,
        metadata: Mapping[str, str] | None = None,
    ) -> Calls:
        """Call a target some times, one call after the other, with `grpc.aio` or with blocking gRPC."""
        answer = await self._do(
            do="call",
            target=target,
            count=count,
            timeout=timeout,
            blocking=blocking,
            method=method,
            metadata=list((metadata or {}).items()),
        )
        return Calls(
            answers=answer["answers"],
            errors=[(code, text) for code, text in answer["errors"]],
            seconds=answer["seconds"],
        )

    async def close(self, target: str) -> None:
        """Close the `grpc.aio` channel of a target."""
        await self._do(do="close", target=target)

    async def serve(self, address: str, name: str) -> None:
        """Start a server with xDS that answers `name`; it serves once it has its listener."""
        await self._do(do="serve", address=address, name=name)

    async def status(self) -> ClientStatusResponse:
        """Give what the program says of its own xDS state."""
        answer = await self._do(do="status")
        return ClientStatusResponse.FromString(base64.b64decode(answer["status"]))

    async def _do(self, **command: Any) -> dict[str, Any]:
        async with self._turn:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(f"{json.dumps(command)}\n".encode())
            await self._process.stdin.drain()
            line = await self._process.stdout.readline()
        assert line, f"the gRPC program ended: {self.log[-3000:]}"
        answer: dict[str, Any] = json.loads(line)
        return answer


class GrpcInstance:
    """An ordinary gRPC server of a service: answers its name to every call, and counts them."""

    def __init__(self, name: str, *, host: str = "127.0.0.1") -> None:
        assert host.startswith("127."), "test traffic stays on loopback"
        self.name = name
        self.port = 0
        self.methods: list[str] = []
        self._host = host
        self._server: grpc.aio.Server

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((_Counting(self),))
        self.port = self._server.add_insecure_port(f"{self._host}:0")
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.stop(0)


class _Counting(grpc.GenericRpcHandler):
    def __init__(self, instance: GrpcInstance) -> None:
        self._instance = instance

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        self._instance.methods.append(details.method)
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, request: bytes, context: Any) -> bytes:
        del request, context
        return self._instance.name.encode()
