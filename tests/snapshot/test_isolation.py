"""Whatever one service says, the resources of all others stay as they are, to the byte."""

from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rig.random_catalogs import POLICY, Drawing
from xds_server.model.catalog import Catalog
from xds_server.model.policy import Claim, Protocol
from xds_server.model.proxy import Client, Group
from xds_server.model.secret import Secrets
from xds_server.model.types import TypeUrl
from xds_server.snapshot import EMPTY, Snapshot, build
from xds_server.translate import Translator
from xds_server.translate.names import services_of
from xds_server.translate.render import unpack

# A host that the operator lets any service claim is common ground, so it must not be a service's own.
CLAIM = Claim(services=("*",), hosts=("*.example.test",), path_prefix="/")
OWN_HOSTS = replace(POLICY, registrations=replace(POLICY.registrations, claims=(CLAIM,)))

# Without more being said, a service is one that clients of the group can call.
GROUPS = {
    "envoy": (Group(), OWN_HOSTS),
    "grpc": (
        Group(client=Client.GRPC),
        replace(OWN_HOSTS, defaults=replace(OWN_HOSTS.defaults, protocol=Protocol.GRPC)),
    ),
}


def served(catalog: Catalog, kind: str) -> Snapshot:
    group, policy = GROUPS[kind]
    translation = Translator(group).translate(catalog, policy, Secrets())
    return build(translation.drafts, translation.problems, EMPTY, translation.derived)


def of_others(snapshot: Snapshot, name: str) -> dict[tuple[str, str], bytes]:
    """Give all resources but those of one service; of route configurations each virtual host."""
    found: dict[tuple[str, str], bytes] = {}
    for type_url in (TypeUrl.CLUSTER, TypeUrl.ENDPOINTS):
        for key, one in snapshot.sets[type_url].by_name.items():
            if name not in services_of(key):
                found[type_url.short, key] = one.packed
    for key, one in snapshot.sets[TypeUrl.ROUTES].by_name.items():
        for host in unpack(TypeUrl.ROUTES, one.packed).virtual_hosts:
            if not host.name.startswith("host/") and not about(name, key, host.name):
                found[f"{key} host", host.name] = host.SerializeToString(deterministic=True)
    return found


def about(name: str, *said: str) -> bool:
    """Tell whether a name of a route configuration or virtual host is that of a service."""
    own = name.lower()
    hosts = [one.lower().removeprefix("service/") for one in said]
    return any(host == own or host.startswith(f"{own}.service.") for host in hosts)


def changed(first: Catalog, other: Catalog, name: str) -> Catalog:
    """Give a catalog in which one service is as another catalog has it, with what config entries say."""
    services = {**first.services, name: other.services[name]}
    overrides = {key: value for key, value in first.entries.overrides.items() if key != name}
    if name in other.entries.overrides:
        overrides[name] = other.entries.overrides[name]
    entries = replace(first.entries, overrides=MappingProxyType(overrides))
    return replace(Catalog.of("dc1", services.values()), entries=entries)


@given(st.integers(0, 2**32), st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize("kind", GROUPS)
def test_a_service_changes_nothing_of_the_others(kind: str, seed: int, data: st.DataObject) -> None:
    drawing = Drawing(seed)
    first, other = drawing.draw().catalog, drawing.draw().catalog
    name = data.draw(st.sampled_from(sorted(other.services)))

    before = of_others(served(first, kind), name)
    after = of_others(served(changed(first, other, name), kind), name)

    assert after == before
    assert before or set(first.services) <= {name}
