"""What a candidate changes of the services that are believed: found by identity, told by instance."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from xds_server.model.catalog import Instance, Service, differing_instances
from xds_server.model.table import Table, differing

Services: TypeAlias = Table[Service]
InstanceKey: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """A service as it is believed, None where it is new, and as the candidate has it, None if gone."""

    old: Service | None
    new: Service | None

    @property
    def before(self) -> int:
        """How many instances are believed."""
        return len(self.old.instances) if self.old else 0

    @property
    def after(self) -> int:
        """How many instances the candidate has."""
        return len(self.new.instances) if self.new else 0

    @property
    def gone(self) -> tuple[Instance, ...]:
        """The instances that are believed and that the candidate lacks."""
        old, new = self.old.instances if self.old else (), self.new.instances if self.new else ()
        lacking, fresh = differing_instances(old, new)
        there = {key(one) for one in fresh}
        return tuple(one for one in lacking if key(one) not in there)


def key(instance: Instance) -> InstanceKey:
    """Give what an instance is known by: Consul's ids are unique on their node, nodes in a datacenter."""
    return instance.datacenter, instance.node, instance.id


def changes(believed: Services, candidate: Services) -> dict[str, Change]:
    """Give the services that are not the very same objects, by name; the others are not looked into."""
    return {
        name: Change(believed.get(name), candidate.get(name))
        for name in sorted(differing(believed, candidate))
    }


def overlaid(
    services: Services, others: Mapping[str, Service], before: Services, names: Iterable[str]
) -> Services:
    """Give services with others laid over them; the very same where there are none.

    It is made of `before`, which is that already but for `names`.
    """
    if not others:
        return services
    return before.changed({name: others.get(name) or services.get(name) for name in names})


def with_kept(new: Service | None, old: Service, kept: tuple[Instance, ...]) -> Service:
    """Give a service as the candidate has it, with what is kept of `old`; `old` itself where that is it."""
    if new is None and len(kept) == len(old.instances):
        return old
    merged = Service.of(old.name, [*(new.instances if new else ()), *kept])
    return old if merged == old else merged
