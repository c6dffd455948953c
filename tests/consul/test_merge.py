"""Catalogs of several datacenters as one."""

from dataclasses import replace

from tests.rig.catalogs import catalog, instance, service
from xds_server.consul.merge import Merger
from xds_server.model.catalog import Catalog, Service


def there(name: str, port: int) -> Service:
    return service(name, replace(instance(f"{name}-{port}", port=port), datacenter="dc2"))


def of(datacenter: str, *services: Service) -> Catalog:
    return Catalog.of(datacenter, services)


def ports(found: Catalog, name: str) -> list[int]:
    return sorted(one.port for one in found.services[name].instances)


def test_a_service_has_the_instances_of_all_datacenters() -> None:
    own = of("dc1", service("user", instance("a", port=1)), service("order", instance("b", port=2)))
    other = of("dc2", there("user", 3), there("payment", 4))

    found = Merger().merged(own, [other], frozenset({"dc2"}))

    assert list(found.services) == ["order", "payment", "user"]
    assert (ports(found, "user"), ports(found, "order"), ports(found, "payment")) == ([1, 3], [2], [4])
    assert (found.datacenter, found.lost) == ("dc1", {"dc2"})


def test_what_did_not_change_keeps_its_identity() -> None:
    own, other = of("dc1", service("user", instance("a", port=1))), of("dc2", there("user", 3))
    merger = Merger()
    before = merger.merged(own, [other], frozenset())
    grown = Catalog.of("dc2", [other.services["user"], there("payment", 4)])

    after = merger.merged(own, [grown], frozenset())

    assert after.services["user"] is before.services["user"]
    assert ports(after, "payment") == [4]


def test_a_change_in_one_datacenter_is_seen() -> None:
    own, merger = of("dc1", service("user", instance("a", port=1))), Merger()
    merger.merged(own, [of("dc2", there("user", 3))], frozenset())

    assert ports(merger.merged(own, [of("dc2", there("user", 5))], frozenset()), "user") == [1, 5]
    assert ports(merger.merged(own, [of("dc2")], frozenset()), "user") == [1]


def test_our_own_catalog_alone_is_handed_on_with_all_it_has() -> None:
    own = catalog(service("user", instance("a", port=1)))
    assert Merger().merged(own, [], frozenset()) == own
