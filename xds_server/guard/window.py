"""What changed its number of instances lately: how it was when the window began, and what has gone since.

It is kept as it goes, so that one change costs one step however many there were within the window.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from xds_server.guard.changes import Services
from xds_server.model.catalog import Service

Before: TypeAlias = tuple[tuple[float, Service | None], ...]
"""How a service was at times in Unix seconds, the first one first; None where it was not there."""

_NOTHING: Final[Mapping[str, Before]] = MappingProxyType({})


class Sums(NamedTuple):
    """Services that had instances when the window began, and their instances.

    `lost_services` and `lost_endpoints` are gone since; `more_services` and `more_endpoints` are how many
    more there were than are believed.
    """

    lost_services: int = 0
    lost_endpoints: int = 0
    more_services: int = 0
    more_endpoints: int = 0

    def plus(self, had: int, believed: int, has: int, *, times: int = 1) -> "Sums":
        """Add one service, so many times, by its instances.

        They are those it had when the window began, those that are believed, and those it has.
        """
        return Sums(
            self.lost_services + times * (had > 0 and not has),
            self.lost_endpoints + times * max(0, had - has),
            self.more_services + times * ((had > 0) - (believed > 0)),
            self.more_endpoints + times * (had - believed),
        )


_NO_SUMS: Final = Sums()


def size(service: Service | None) -> int:
    """Give how many instances a service has; 0 where there is none."""
    return len(service.instances) if service else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The changes of numbers within the window: `times` of them with the names, and `before` by name.

    `sums` compare how the services named were at first with how they are believed to be.
    """

    times: tuple[tuple[float, tuple[str, ...]], ...] = ()
    before: Mapping[str, Before] = field(default_factory=lambda: _NOTHING)
    sums: Sums = _NO_SUMS

    @property
    def first(self) -> dict[str, Service | None]:
        """The services as they were when the window began."""
        return {name: held[0][1] for name, held in self.before.items()}

    def had(self, name: str) -> int | None:
        """Give how many instances a service had when the window began; None if its number is the same."""
        held = self.before.get(name)
        return size(held[0][1]) if held else None

    def since(self, start: float, believed: Services) -> "Window":
        """Forget what was before `start`, in Unix seconds."""
        if not self.times or self.times[0][0] >= start:
            return self
        count = next((at for at, one in enumerate(self.times) if one[0] >= start), len(self.times))
        names = {name for _, some in self.times[:count] for name in some}
        held = {name: tuple(one for one in self.before[name] if one[0] >= start) for name in names}
        return self._with(self.times[count:], held, believed, believed)

    def noted(
        self,
        now: float,
        before: Mapping[str, Service | None],
        names: Iterable[str],
        services: tuple[Services, Services],
    ) -> "Window":
        """Take note of services as they were `before` a change of their numbers.

        Nothing but `names` differs between the `services` that were believed and those that are.
        """
        held = {name: self.before[name] for name in names if name in self.before}
        held |= {name: (*self.before.get(name, ()), (now, one)) for name, one in before.items()}
        times = (*self.times, (now, tuple(before))) if before else self.times
        return self._with(times, held, *services) if held else self

    def _with(
        self,
        times: tuple[tuple[float, tuple[str, ...]], ...],
        held: Mapping[str, Before],
        old: Services,
        new: Services,
    ) -> "Window":
        """Give the window with other befores for some names, none where empty, and the sums of that."""
        before, sums = dict(self.before), self.sums
        for name, some in held.items():
            if known := before.pop(name, None):
                was = size(old.get(name))
                sums = sums.plus(size(known[0][1]), was, was, times=-1)
            if some:
                before[name] = some
                now = size(new.get(name))
                sums = sums.plus(size(some[0][1]), now, now)
        return Window(times=times, before=before, sums=sums)


EMPTY: Final = Window()
