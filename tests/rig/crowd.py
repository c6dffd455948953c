"""Many services in a real Consul, written straight into its catalog.

    crowd = Crowd(consul, port=8080, count=1000)
    await crowd.register()
    await crowd.flip("critical")

They are on a node that has no agent, as with external services, so no agent restores or removes them.
"""

from collections.abc import Iterator
from typing import Any, Final

from tests.rig.consul_api import ConsulApi

NODE: Final = "crowd"
# Consul takes at most 64 operations in a transaction.
_OPERATIONS: Final = 64


class Crowd:
    """`count` services `crowd-0000`, ..., each with one instance at 127.0.0.1:`port` and one check."""

    def __init__(self, consul: ConsulApi, *, port: int, count: int) -> None:
        self.names = tuple(f"crowd-{number:04}" for number in range(count))
        self._consul = consul
        self._port = port

    async def register(self) -> None:
        """Register them all, passing."""
        await self._consul.put("/v1/catalog/register", {"Node": NODE, "Address": "127.0.0.1"})
        await self._apply({"Service": {"Verb": "set", "Node": NODE, "Service": one}} for one in self._all())
        await self.flip("passing")

    async def flip(self, status: str) -> None:
        """Set every check to `passing`, `warning` or `critical`."""
        checks = (
            {"Node": NODE, "CheckID": f"check:{name}", "Name": name, "ServiceID": name, "Status": status}
            for name in self.names
        )
        await self._apply({"Check": {"Verb": "set", "Check": check}} for check in checks)

    def _all(self) -> Iterator[dict[str, Any]]:
        for name in self.names:
            yield {"ID": name, "Service": name, "Address": "127.0.0.1", "Port": self._port}

    async def _apply(self, operations: Iterator[dict[str, Any]]) -> None:
        left = list(operations)
        while left:
            await self._consul.put("/v1/txn", left[:_OPERATIONS])
            del left[:_OPERATIONS]
