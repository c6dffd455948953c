"""All resources of a snapshot together: what only their number or their neighbours make wrong.

Where only some of them can be served, those stay that are served already: what comes later must not take the
place of what works.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from xds_server.model.types import TypeUrl
from xds_server.snapshot.check.limits import LIMITS
from xds_server.snapshot.resource import Key, Resource

Served: TypeAlias = Callable[[Key], Resource | None]
"""Gives what is served of a type and name now, or None."""


def check_together(resources: Mapping[TypeUrl, Mapping[str, Resource]], served: Served) -> dict[Key, str]:
    """Give a complaint, a sentence, for each resource that cannot stand beside the others."""
    bad: dict[Key, str] = {}
    for type_url, by_name in resources.items():
        if len(by_name) > (most := LIMITS[type_url].count):
            bad.update(_too_many(type_url, by_name, served, most))
    bad.update(_taken(resources.get(TypeUrl.LISTENER, {}), served))
    return bad


def _too_many(
    type_url: TypeUrl, by_name: Mapping[str, Resource], served: Served, most: int
) -> Iterator[tuple[Key, str]]:
    sentence = (
        f"there are {len(by_name)} resources of this type, more than {most}; look for what is registered or "
        "configured many times over."
    )
    in_order = sorted(by_name, key=lambda name: (served((type_url, name)) is None, name))
    for name in in_order[most:]:
        yield (type_url, name), sentence


def _taken(listeners: Mapping[str, Resource], served: Served) -> Iterator[tuple[Key, str]]:
    """Envoy rejects a listener on the address of another ("has duplicate address")."""
    claiming = [one for one in listeners.values() if one.claims]
    owners: dict[str, str] = {}

    def newer(one: Resource) -> tuple[bool, str]:
        now = served(one.key)
        return now is None or now.claims != one.claims, one.name

    for one in sorted(claiming, key=newer):
        taken = next((claim for claim in one.claims if claim in owners), None)
        if taken is not None:
            yield one.key, f"listener {owners[taken]} listens on {taken} already."
            continue
        owners.update(dict.fromkeys(one.claims, one.name))
