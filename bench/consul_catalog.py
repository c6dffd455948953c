"""Services in a real Consul for the benchmark: many at once by transactions, and single changes."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.rig.consul_agent import ConsulAgent

_NODES: Final = 200
_BATCH: Final = 64
"""How many operations one transaction may have (Consul API, "Transactions")."""

_OUTPUT: Final = "HTTP GET http://10.1.2.3:8080/health: 200 OK Output: all is well"


def name_of(number: int) -> str:
    """Name the service of that number."""
    return f"service-{number:04}"


async def register(agent: ConsulAgent, services: int, instances: int) -> None:
    """Register so many services with so many instances each, spread over 200 nodes, each with a check."""
    operations = list(_operations(services, instances))
    for first in range(0, len(operations), _BATCH):
        await agent.put("/v1/txn", operations[first : first + _BATCH])


def _operations(services: int, instances: int) -> Iterator[dict[str, Any]]:
    for number in range(_NODES):
        yield {"Node": {"Verb": "set", "Node": {"Node": f"node-{number}", "Address": f"10.1.0.{number + 1}"}}}
    for service in range(services):
        for number in range(instances):
            one = Instance(service=service, number=number)
            yield {"Service": {"Verb": "set", "Node": one.node, "Service": one.definition()}}
            yield {"Check": {"Verb": "set", "Check": one.check("passing")}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance, which is on the same node every time."""

    service: int
    number: int

    @property
    def node(self) -> str:
        """The name of its node."""
        return f"node-{(self.service * 5 + self.number) % _NODES}"

    @property
    def id(self) -> str:
        """Its id in Consul."""
        return f"{name_of(self.service)}-{self.number}"

    def definition(self) -> dict[str, Any]:
        """Give it as Consul registers a service."""
        address = f"10.2.{self.service % 250}.{self.number + 1}"
        tags = ["v1", "http"]
        return {"ID": self.id, "Service": name_of(self.service), "Port": 80, "Address": address, "Tags": tags}

    def check(self, status: str) -> dict[str, Any]:
        """Give its check."""
        check = f"service:{self.id}"
        return {
            "Node": self.node,
            "CheckID": check,
            "Name": check,
            "Status": status,
            "ServiceID": self.id,
            "Output": _OUTPUT,
        }


@dataclass(slots=True)
class Changes:
    """Changes of single services: most are a status, some a registration or the end of one.

    Half of them meet the first `used` services. `kind` of the last one tells what it was.
    """

    agent: ConsulAgent
    services: int
    instances: int
    used: int
    kind: str = ""
    _critical: set[Instance] = field(default_factory=set)
    _added: list[Instance] = field(default_factory=list)
    _chosen: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - the same each time

    def pick(self) -> int:
        """Choose the number of a service."""
        used = self.used and self._chosen.random() < 0.5
        return self._chosen.randrange(self.used) if used else self._chosen.randrange(self.used, self.services)

    async def make(self, service: int) -> None:
        """Change a service in one write."""
        which = self._chosen.random()
        if which < 0.7:
            await self._flip(Instance(service=service, number=self._chosen.randrange(self.instances)))
        else:
            await self._add(Instance(service=service, number=100 + self._chosen.randrange(10**6)))

    async def _flip(self, one: Instance) -> None:
        self.kind = "status"
        status = "passing" if one in self._critical else "critical"
        self._critical ^= {one}
        await self._put(one, Check=one.check(status))

    async def _add(self, one: Instance) -> None:
        self.kind = "registration"
        await self._put(one, Service=one.definition(), Check=one.check("passing"))

    async def move(self, service: int, port: int) -> None:
        """Register an instance once more, with another port, and leave its check alone."""
        one = Instance(service=service, number=0)
        await self._put(one, Service=one.definition() | {"Port": port})

    async def _put(self, one: Instance, **parts: Any) -> None:
        body = {"Node": one.node, "Address": "10.1.0.1", "SkipNodeUpdate": True, **parts}
        await self.agent.put("/v1/catalog/register", body)
