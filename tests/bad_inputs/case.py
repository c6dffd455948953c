"""One case of the catalogue of bad input (1 to 64): what Consul lists, and what has to come of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.consul.fake_consul import row
from xds_server.consul.text import shown
from xds_server.model.problem import Code

Rows = list[dict[str, Any]]
Expected = tuple[Code, str]
"""The code of a problem, and what its source and sentence hold between them."""

FINE = "10.0.0.9:80"
"""The endpoint of the neighbour that every bad instance has in its own service."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What Consul lists (`listed`: each service with its rows), and what is served of it.

    `served` are the endpoints of every cluster that comes of it: `10.0.0.1:80`, followed by the health where
    it is not HEALTHY, and by the weight where it is not 1. `problems` are all that are told; each may be told
    several times. `routes` are the hosts that lead somewhere. `settings` is the settings file, in YAML.
    `nowhere` is text that must be in no resource and no problem. With `alone` a case is too large to be put
    beside all others, or needs settings of its own; with `slow` it takes seconds.
    """

    number: int
    title: str
    verdict: str
    listed: Mapping[str, Rows]
    served: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[Expected, ...] = ()
    settings: str = ""
    nowhere: str = ""
    alone: bool = False
    slow: bool = False

    @property
    def name(self) -> str:
        return f"{self.number} {self.title}"


def nameless(number: int, title: str, *names: str) -> Case:
    """Names that may meet neither a URL nor Envoy: each is left out and named, cut and escaped."""
    return Case(
        number=number,
        title=title,
        verdict="quarantine",
        listed={name: [row(name, Address="10.0.0.2")] for name in names},
        problems=tuple((Code.SERVICE_NAME, shown(name)) for name in names),
    )


def fine(name: str) -> dict[str, Any]:
    """Give the row of an instance with nothing wrong in it."""
    return row(name, id="fine", node="fine-node", Address="10.0.0.9")


def rogue(number: int, position: int = 0, *, node: Mapping[str, Any] | None = None, **service: Any) -> Any:
    """Give the row of an instance of the case's service; `service` and `node` replace fields."""
    service = {"Address": "10.0.0.2", **service}
    made = row(f"case-{number}", id=f"rogue-{position}", node=f"rogue-node-{position}", **service)
    made["Node"].update(node or {})
    return made


def dropped(number: int, title: str, code: Code, rows: Iterable[Any], **more: Any) -> Case:
    """Instances that are left out, one by one, and named; the one that is fine beside them stays."""
    name = f"case-{number}"
    return Case(
        number=number,
        title=title,
        verdict="drop-ep",
        listed={name: [fine(name), *rows]},
        served={name: (FINE,)},
        problems=((code, "rogue-"),),
        **more,
    )


def taken(number: int, title: str, verdict: str, rows: Iterable[Any], *served: str, **more: Any) -> Case:
    """Instances that are served, as `served` says, beside the one that is fine."""
    name = f"case-{number}"
    return Case(
        number=number,
        title=title,
        verdict=verdict,
        listed={name: [fine(name), *rows]},
        served={name: tuple(sorted((FINE, *served)))},
        **more,
    )
