"""What the server is fed with: a catalog of services with two instances each, and the policy for loopback."""

from dataclasses import replace
from typing import Final

from tests.rig.ports import free_port
from tests.runtime.inputs import LOOPBACK
from xds_server.model.catalog import Catalog, Check, Instance, Service, Status
from xds_server.model.policy import DEFAULT_LISTENER, Policy

LISTENER: Final = DEFAULT_LISTENER.name
"""The listener every client gets; its route configuration has the same name."""

_ALIVE: Final = (Check(id="alive", status=Status.PASSING),)


def names(count: int) -> list[str]:
    """Give the names of so many services, in the order of the catalog."""
    return [f"service-{number:04}" for number in range(count)]


def service(name: str, first_port: int = 9) -> Service:
    """Give a service with two instances on loopback, the first on `first_port`. Nobody calls them."""
    ports = {f"{name}-1": first_port, f"{name}-2": 19}
    return Service.of(
        name,
        [
            Instance(node="node-1", id=key, address="127.0.0.1", port=port, checks=_ALIVE)
            for key, port in ports.items()
        ],
    )


def catalog(count: int) -> Catalog:
    """Give a catalog of so many services."""
    return Catalog.of("dc1", map(service, names(count)))


def with_service(catalog: Catalog, changed: Service) -> Catalog:
    """Give the catalog with a service more, or one replaced; all others are the same objects."""
    return Catalog.of(catalog.datacenter, {**catalog.services, changed.name: changed}.values())


def policy() -> Policy:
    """Give a policy with the default listener on a free port of loopback."""
    listener = replace(DEFAULT_LISTENER, address="127.0.0.1", port=free_port())
    return replace(LOOPBACK, listeners=(listener,))
