"""The load generator in Python, for machines without Go: `python -m bench.generator --target HOST:PORT ...`.

It speaks as `bench/load` does (see its README), for fewer streams: a stream costs it more than it costs the
server, so its figures of time say little where there are many. Each stream is a `bench.stream.Stream`.
"""

import asyncio
import json
import resource
import time
from collections.abc import Iterable
from typing import Any, Final

import click
import grpc

from bench.orders import Orders, Said, obey, say
from bench.stream import SHORT, Heard, Stream, Variant

# Without the first all channels of a process to one address share a connection.
_OPTIONS: Final = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))


class Mark:
    """Counts the streams that received a response of a type, from the command on."""

    def __init__(self, said: Said) -> None:
        self._id, self._type, self._expect = said["id"], said["type"], said["expect"]
        self._received: dict[int, int] = {}
        self._bytes = 0

    def hear(self, stream: int, heard: Heard) -> bool:
        """Note a response; tell whether it was the last one, which is told then."""
        if SHORT[heard.type_url] != self._type:
            return False
        self._bytes += heard.bytes
        self._received.setdefault(stream, heard.at)
        if len(self._received) < self._expect:
            return False
        times = sorted(self._received.values())
        say(
            "marked",
            id=self._id,
            first_at=times[0],
            median_at=times[len(times) // 2],
            last_at=times[-1],
            last_ack_at=time.time_ns(),
            bytes=self._bytes,
        )
        return True


class Generator:
    """All streams, and the commands."""

    def __init__(self, target: str, streams: list[Stream], connections: int, patience: float) -> None:
        self._target = target
        self._patience = patience
        self._streams = streams
        self._connections = connections
        self._channels: list[Any] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._marks: list[Mark] = []
        self._last_at = 0
        self._counts: dict[str, dict[str, int]] = {}
        self._orders: Orders = {
            "mark": self._mark,
            "count": self._count,
            "settled": self._settled,
            "reconnect": self._reconnect,
            "cpu": lambda said: say("cpu", id=said["id"], seconds=time.process_time()),
        }

    async def run(self, over: float) -> None:
        """Open all streams within `over` seconds, and do what is said until standard input ends."""
        times = await self._open(over)
        say("ready", streams=len(times), missing=len(self._streams) - len(times), ready_ms=times)
        await obey(self._orders)
        await self._close()

    async def _open(self, over: float) -> list[float]:
        self._channels = [grpc.aio.insecure_channel(self._target, _OPTIONS) for _ in range(self._connections)]
        each = over / max(1, len(self._streams))
        starting = [self._start(stream, each * number) for number, stream in enumerate(self._streams)]
        times = await asyncio.gather(*starting)
        return [one for one in times if one is not None]

    async def _start(self, stream: Stream, wait: float) -> float | None:
        await asyncio.sleep(wait)
        started = time.perf_counter()
        await stream.open(self._channels[stream.number % self._connections])
        self._tasks.append(asyncio.create_task(self._go_on(stream)))
        try:
            async with asyncio.timeout(self._patience):
                await stream.ready.wait()
        except TimeoutError:
            return None
        return round(1000 * (stream.ready_at - started), 2)

    async def _go_on(self, stream: Stream) -> None:
        while True:
            try:
                heard = await stream.take()
            except (grpc.aio.AioRpcError, EOFError) as error:
                say("lost", streams=1, why=f"{error!r}"[:500])
                return
            self._note(stream.number, heard)

    def _note(self, number: int, heard: Heard) -> None:
        self._last_at = heard.at
        short = SHORT.get(heard.type_url, heard.type_url)
        for what, amount in (("responses", 1), ("resources", heard.resources), ("bytes", heard.bytes)):
            counts = self._counts.setdefault(what, {})
            counts[short] = counts.get(short, 0) + amount
        self._marks = [mark for mark in self._marks if not mark.hear(number, heard)]

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await asyncio.gather(*(channel.close() for channel in self._channels))

    # --- commands --------------------------------------------------------------------------------------

    def _mark(self, said: Said) -> None:
        self._marks.append(Mark(said))
        say("marking", id=said["id"])

    def _count(self, said: Said) -> None:
        counts, self._counts = self._counts, {}
        say("counted", id=said["id"], **({"responses": {}, "resources": {}, "bytes": {}} | counts))

    async def _settled(self, said: Said) -> None:
        quiet = said.get("quiet_ms", 300) / 1000
        while (left := quiet - (time.time_ns() - self._last_at) / 1e9) > 0:
            await asyncio.sleep(left)
        say("settled", id=said["id"], last_at=self._last_at)

    async def _reconnect(self, said: Said) -> None:
        await self._close()
        self._counts = {}
        times = await self._open(said.get("over", 0.0))
        await asyncio.sleep(0.3)
        totals = {what: sum(counts.values()) for what, counts in self._counts.items()}
        say(
            "reconnected",
            id=said["id"],
            ready_ms=times,
            bytes=totals.get("bytes", 0),
            resources=totals.get("resources", 0),
            last_at=self._last_at,
        )


def _metadata(given: str, group: str) -> dict[str, Any]:
    return {**json.loads(given), **({"gateway": group} if group else {})}


def _streams(count: int, variant: Variant, groups: int, metadata: str, cluster: str) -> Iterable[Stream]:
    for number in range(count):
        group = f"group-{number % groups}" if groups else ""
        yield Stream(number, variant, group or cluster, _metadata(metadata, group))


@click.command()
@click.option("--target", required=True)
@click.option("--streams", type=int, required=True)
@click.option("--connections", type=int, required=True)
@click.option("--variant", type=click.Choice([one.value for one in Variant]), required=True)
@click.option("--groups", type=int, default=0)
@click.option("--node-metadata", default="{}")
@click.option("--over", default=0.0)
@click.option("--cluster", default="bench")
@click.option("--patience", default=60.0)
def main(target: str, connections: int, over: float, patience: float, **nodes: Any) -> None:
    """Open streams, and keep them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    variant, metadata = Variant(nodes["variant"]), nodes["node_metadata"]
    streams = list(_streams(nodes["streams"], variant, nodes["groups"], metadata, nodes["cluster"]))

    async def run() -> None:
        await Generator(target, streams, connections, patience).run(over)

    asyncio.run(run())


if __name__ == "__main__":
    main()
