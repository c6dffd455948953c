"""xds-server in a process of its own, from the decoded catalog on, moved by commands.

Everything behind the source is what `xds-server serve` runs: guards, pipeline, the xDS server, the watch over
the garbage collector and the event loop. The catalog comes by command instead of from Consul, so what is
measured is the way from a decoded change to the wire. `bench.child` has the form of the conversation:

    catalog  services, instances, [gateways, upstreams]   built: cpu, wall, rss before and after, resources
    change   service                                      set: started_at, at (Unix ns); one instance has
             moved
    add      service                                      set; a service more
    remove   service                                      set; a service less
    settle                                                quiet; everything that changed is in the snapshots
    dump     file, [type, names]                          dumped: count, bytes; the resources, for the peers
    dump_groups  directory                                dumped: count, bytes; the same, a file for each
                 gateway
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench import estate
from bench.orders import Orders, Said, obey, say
from bench.resident import resident
from xds_server.app.descriptors import raise_limit
from xds_server.guard import GuardOptions
from xds_server.model.catalog import Catalog, Service
from xds_server.model.proxy import Group, Proxy
from xds_server.model.secret import Secrets
from xds_server.model.table import Table
from xds_server.model.types import TypeUrl
from xds_server.runtime.debounce import Pace
from xds_server.runtime.fleet import Fleet
from xds_server.runtime.garbage import Collections
from xds_server.runtime.guarding import Guarding
from xds_server.runtime.lag import LoopLag
from xds_server.runtime.latest import Latest
from xds_server.runtime.load import Loads
from xds_server.runtime.pipeline import Pipeline
from xds_server.snapshot import Snapshot
from xds_server.transport import Caps, StreamLimits, XdsServer, XdsServerOptions

_STREAMS: Final = 40_000
_FIRST_SNAPSHOT: Final = 120.0
_GUARDED: Final = 0.02
"""Seconds in which the guards have passed on what was published."""

_SHORT: Final = {
    "cds": TypeUrl.CLUSTER,
    "eds": TypeUrl.ENDPOINTS,
    "lds": TypeUrl.LISTENER,
    "rds": TypeUrl.ROUTES,
}

_SERVED: Final = Proxy(
    id="dump", group=Group(admin_port=19_000, on_demand=True, static_clusters=("xds_cluster",))
)
"""A client like those of the crowd in delta."""


class Target:
    """The server, and the commands that move it."""

    def __init__(self) -> None:
        self._source: Latest[Catalog] = Latest()
        policy = Latest(estate.policy())
        believed: Latest[Catalog] = Latest()
        guarding = Guarding(self._source, policy, believed, GuardOptions())
        self._pipeline = Pipeline(believed, policy, Latest(Secrets()), Pace())
        guarding.add(self._pipeline)
        # All streams come from one address, and the load generator does not come again when it is sent away.
        caps = Caps(streams=_STREAMS, per_address=_STREAMS)
        limits = StreamLimits(caps=caps, first_snapshot=_FIRST_SNAPSHOT)
        options = XdsServerOptions(host="127.0.0.1", port=0, identifier="bench", limits=limits)
        self._fleet = Fleet()
        self._server = XdsServer(self._pipeline, self._fleet, Loads(), options)
        self._parts = (guarding.run, self._pipeline.run, self._server.run, Collections().run, LoopLag().run)
        self._instances = 0
        self._states: dict[str, tuple[Service, Service]] = {}
        self._orders: Orders = {
            "catalog": self._catalog,
            "change": self._change,
            "add": self._add,
            "remove": self._remove,
            "settle": self._settle,
            "dump": self._dump,
            "dump_groups": self._dump_groups,
            "cpu": lambda said: say("cpu", id=said["id"], seconds=time.process_time()),
            "rss": lambda said: say("rss", id=said["id"], bytes=resident()),
        }

    async def run(self) -> None:
        """Serve, and do what is said, until standard input ends."""
        raise_limit()
        port = await self._server.start()
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(part()) for part in self._parts]
            say("listening", port=port)
            await obey(self._orders)
            for task in running:
                task.cancel()

    # --- commands --------------------------------------------------------------------------------------

    async def _catalog(self, said: Said) -> None:
        """Publish a whole catalog, and tell what it took until its snapshot was there."""
        before = resident()
        self._instances = said["instances"]
        found = estate.catalog(said["services"], said["instances"])
        if count := said.get("gateways"):
            entries = estate.gateways(count, said["services"], said["upstreams"])
            found = replace(found, entries=entries)
        decoded = resident()
        cpu, wall, previous = time.process_time(), time.perf_counter(), self._pipeline.snapshot.value
        self._source.publish(found)
        snapshot = previous
        async for snapshot in self._pipeline.snapshot.values():
            if snapshot is not previous:
                break
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        assert snapshot is not None  # noqa: S101 - it is the new one
        resources = {one.short: len(entries.by_name) for one, entries in snapshot.sets.items()}
        rss = {"before": before, "decoded": decoded, "after": resident()}
        say("built", id=said["id"], cpu=cpu, wall=wall, rss=rss, resources=resources)

    def _change(self, said: Said) -> None:
        name = estate.name_of(said["service"])
        found = self._services[name]
        # Both states are the same objects each time: making them is the decoder's part.
        one, other = self._states.get(name) or (found, estate.moved(found))
        self._states[name] = one, other
        self._publish(said, name, other if found is one else one)

    def _add(self, said: Said) -> None:
        added = estate.service(said["service"], self._instances)
        self._publish(said, added.name, added)

    def _remove(self, said: Said) -> None:
        self._publish(said, estate.name_of(said["service"]), None)

    def _publish(self, said: Said, name: str, service: Service | None) -> None:
        started_at = time.time_ns()
        known = self._source.value
        assert known is not None  # noqa: S101 - a catalog comes first
        self._source.publish(replace(known, services=known.services.changed({name: service})))
        say("set", id=said["id"], started_at=started_at, at=time.time_ns())

    async def _settle(self, said: Said) -> None:
        await asyncio.sleep(_GUARDED)
        while self._pipeline.behind is not None:
            await asyncio.sleep(_GUARDED)
        say("quiet", id=said["id"])

    async def _dump(self, said: Said) -> None:
        """Write what the crowd is served, of one type or all, of some names or all."""
        types = [_SHORT[said["type"]]] if said.get("type") else list(_SHORT.values())
        with self._pipeline.join(_SERVED):
            snapshot = await self._pipeline.newest(_SERVED)
        content, count = _content(snapshot, types, said.get("names"))
        Path(said["file"]).write_bytes(content)
        say("dumped", id=said["id"], count=count, bytes=len(content))

    async def _dump_groups(self, said: Said) -> None:
        """Write the resources that each gateway's streams are served."""
        proxies = {session.proxy.group.gateway: session.proxy for session in self._fleet.sessions}
        size = 0
        for name, proxy in proxies.items():
            content, _ = _content(await self._pipeline.newest(proxy), list(_SHORT.values()), None)
            Path(said["directory"], f"{name}.pb").write_bytes(content)
            size += len(content)
        say("dumped", id=said["id"], count=len(proxies), bytes=size)

    @property
    def _services(self) -> Table[Service]:
        known = self._source.value
        assert known is not None  # noqa: S101 - a catalog comes first
        return known.services


def _content(snapshot: Snapshot, types: Sequence[TypeUrl], names: Sequence[str] | None) -> tuple[bytes, int]:
    """Give the resources of these types, of these names or all, as a file; and how many there are."""
    found = [
        one
        for type_url in types
        for one in snapshot.sets[type_url].by_name.values()
        if names is None or one.name in names
    ]
    return estate.resource_file(found), len(found)


async def main() -> None:
    """Run one; gRPC's server wants the event loop to be there when it is made."""
    await Target().run()


if __name__ == "__main__":
    asyncio.run(main())
