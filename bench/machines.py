"""What the machine of one stream costs: CPU of a push and its ACK, and of a reconnect; memory at rest.

    python -m bench.machines [--names 100 --names 1000] [--streams 500] [--changes 20] [--spread]

No network and no asyncio: requests are decoded from bytes and handed to machines, responses are taken and let
go. Each stream asks for all clusters, their endpoints, a listener and its routes, and acknowledges everything
(one EDS cluster with an endpoint a name). With `--spread` the streams asked for their types in two orders.
"""

import gc
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from time import process_time
from typing import Any, Final, TypeAlias

import click
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest

from tests.protocol.resources import CDS, EDS, LDS, RDS, endpoints, service, snapshot, web
from xds_server.model.types import TypeUrl
from xds_server.protocol import DeltaMachine, Response, SotwMachine
from xds_server.protocol.reading import read
from xds_server.snapshot import Snapshot

Machine: TypeAlias = SotwMachine | DeltaMachine

_Opened: TypeAlias = tuple[list[Machine], float, int, float]

_ORDERS: Final = ((CDS, EDS, LDS, RDS), (LDS, RDS, CDS, EDS))
_MICRO: Final = 1e6


class Client:
    """What the streams of one variant say, made once as bytes."""

    def __init__(self, variant: str, snap: Snapshot) -> None:
        self._delta = variant == "delta"
        self._request: Any = DeltaDiscoveryRequest if self._delta else DiscoveryRequest
        self.names: dict[TypeUrl, list[str]] = {
            CDS: [],
            EDS: list(snap.sets[EDS].by_name),
            LDS: [],
            RDS: list(snap.sets[RDS].by_name),
        }
        self.has = {type_url: snap.sets[type_url] for type_url in self.names}

    def machine(self, snap: Snapshot) -> Machine:
        """Give the machine of a new stream."""
        return (DeltaMachine if self._delta else SotwMachine)(snap, "bench")

    def first(self, type_url: TypeUrl, *, resumed: bool) -> bytes:
        """Give the first request of a type; `resumed` says that the client has everything."""
        names = self.names[type_url]
        if not self._delta:
            version = self.has[type_url].version if resumed else ""
            return DiscoveryRequest(
                type_url=type_url, resource_names=names, version_info=version
            ).SerializeToString()
        held = {name: one.version for name, one in self.has[type_url].by_name.items()} if resumed else {}
        return DeltaDiscoveryRequest(
            type_url=type_url, resource_names_subscribe=names, initial_resource_versions=held
        ).SerializeToString()

    def ack(self, response: Response) -> bytes:
        """Give the ACK of a response."""
        if self._delta:
            return DeltaDiscoveryRequest(
                type_url=response.type, response_nonce=response.nonce
            ).SerializeToString()
        return DiscoveryRequest(
            type_url=response.type,
            resource_names=self.names[TypeUrl(response.type)],
            version_info=response.version,
            response_nonce=response.nonce,
        ).SerializeToString()

    def hear(self, machine: Machine, payload: bytes) -> list[Response]:
        """Let a machine take a request; give what it sends for it."""
        machine.receive(read(self._request, payload)[1], 1.0)
        return machine.outbox(1.0)

    def begin(
        self, snap: Snapshot, firsts: Iterable[bytes], acks: dict[tuple[str, str], bytes]
    ) -> tuple[Machine, int]:
        """Open a stream and acknowledge all it gives; give its machine and how many bytes were sent."""
        machine, size = self.machine(snap), 0
        for payload in firsts:
            waiting = self.hear(machine, payload)
            while waiting:
                response = waiting.pop(0)
                size += len(response.payload)
                key = response.type, response.nonce
                if key not in acks:
                    acks[key] = self.ack(response)
                waiting += self.hear(machine, acks[key])
        return machine, size


def _changes(names: list[str], before: Snapshot, count: int) -> Iterator[Snapshot]:
    """Give snapshots, each with one assignment that differs from the one before."""
    changed = names[len(names) // 2]
    rest = [service(name) for name in names if name != changed]
    for number in range(count):
        before = snapshot(
            *rest, service(changed)[0], endpoints(changed, f"r{number}"), web("web", *names[:1]), after=before
        )
        yield before


def _timed(work: Callable[[], object]) -> float:
    gc.collect()
    began = process_time()
    work()
    return process_time() - began


def _push(client: Client, machines: list[Machine], snap: Snapshot) -> tuple[float, float]:
    """Offer a snapshot to all, and acknowledge what they give; give the seconds of both."""
    sent: list[Response] = []

    def push() -> None:
        for machine in machines:
            machine.offer(snap)
            sent.extend(machine.outbox(2.0))

    pushed = _timed(push)
    if len(sent) != len(machines):
        raise RuntimeError(f"{len(machines)} streams were sent {len(sent)} responses")
    made: dict[str, bytes] = {}
    acks = [made.get(one.nonce) or made.setdefault(one.nonce, client.ack(one)) for one in sent]

    def acknowledge() -> None:
        for machine, ack in zip(machines, acks, strict=True):
            client.hear(machine, ack)

    return pushed, _timed(acknowledge)


def _opened(client: Client, snap: Snapshot, streams: int, *, resumed: bool, spread: bool) -> _Opened:
    """Open streams; give their machines, and what each took in µs, sent, and holds at rest in bytes."""
    orders = [[client.first(one, resumed=resumed) for one in order] for order in _ORDERS[: 1 + spread]]
    acks: dict[tuple[str, str], bytes] = {}
    _, sent = client.begin(snap, orders[0], acks)
    machines: list[Machine] = []

    def begin() -> None:
        machines.extend(
            client.begin(snap, orders[number % len(orders)], acks)[0] for number in range(streams)
        )

    began = _timed(begin) / streams * _MICRO
    machines.clear()
    gc.collect()
    tracemalloc.start()
    begin()
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] / streams
    tracemalloc.stop()
    return machines, began, sent, held


def _measure(variant: str, count: int, streams: int, changes: int, *, spread: bool) -> str:
    names = [f"service-{number:05}" for number in range(count)]
    snap = snapshot(*map(service, names), web("web", *names[:1]))
    client = Client(variant, snap)
    machines, started, sent, held = _opened(client, snap, streams, resumed=False, spread=spread)
    _, resumed, sent_again, held_again = _opened(client, snap, streams, resumed=True, spread=spread)
    times = [_push(client, machines, one) for one in _changes(names, snap, changes)]
    push, ack = (min(part) / streams * _MICRO for part in zip(*times, strict=True))
    return (
        f"{variant:<7}{count:>6}{push:>9.1f}{ack:>9.1f}{started:>10.0f}{resumed:>10.0f}"
        f"{sent:>12}{sent_again:>12}{held:>12.0f}{held_again:>12.0f}"
    )


@click.command()
@click.option("--names", "counts", multiple=True, default=(100, 1_000), show_default=True, type=int)
@click.option("--streams", default=500, show_default=True, type=int)
@click.option("--changes", default=20, show_default=True, type=int)
@click.option("--spread", is_flag=True, help="Let every other stream ask in another order.")
def main(counts: tuple[int, ...], streams: int, changes: int, spread: bool) -> None:
    """Measure the machines of both variants."""
    print(
        "variant names  us/push   us/ack  us/start us/resume  sent/start sent/resume  held/start held/resume"
    )
    for variant in ("delta", "sotw"):
        for count in counts:
            print(_measure(variant, count, streams, changes, spread=spread), flush=True)


if __name__ == "__main__":
    main()
