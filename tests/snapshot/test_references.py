from typing import Final

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.api_listener_pb2 import ApiListener
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret

from tests.rig.drafts import tables
from xds_server.model.problem import Code
from xds_server.model.types import TypeUrl
from xds_server.snapshot import EMPTY, Snapshot, build
from xds_server.translate import Draft, Reference, packing

CLUSTER, ENDPOINTS, LISTENER = TypeUrl.CLUSTER, TypeUrl.ENDPOINTS, TypeUrl.LISTENER
ROUTES, SECRET = TypeUrl.ROUTES, TypeUrl.SECRET


MADE: Final = {
    CLUSTER: lambda name: Cluster(name=name),
    ENDPOINTS: lambda name: ClusterLoadAssignment(cluster_name=name),
    LISTENER: lambda name: Listener(name=name, api_listener=ApiListener()),
    ROUTES: lambda name: RouteConfiguration(name=name),
    SECRET: lambda name: Secret(name=name),
}


def draft(type_url: TypeUrl, name: str, *references: tuple[TypeUrl, str]) -> Draft:
    made = MADE[type_url](name)
    return packing.draft(type_url, name, made, tuple(Reference(*one) for one in references))


def made(*drafts: Draft, previous: Snapshot = EMPTY) -> Snapshot:
    return build(tables(drafts), (), previous)


def names(snapshot: Snapshot) -> set[str]:
    return {f"{type_url.short} {name}" for type_url, found in snapshot.sets.items() for name in found.by_name}


WHOLE = (
    draft(LISTENER, "l", (ROUTES, "r"), (SECRET, "s")),
    draft(ROUTES, "r", (CLUSTER, "c")),
    draft(CLUSTER, "c", (ENDPOINTS, "c")),
    draft(ENDPOINTS, "c"),
    draft(SECRET, "s"),
)
OTHERS = (
    draft(LISTENER, "l2", (ROUTES, "r2")),
    draft(ROUTES, "r2", (CLUSTER, "c2")),
    draft(CLUSTER, "c2", (ENDPOINTS, "c2")),
    draft(ENDPOINTS, "c2"),
)


def test_what_closes_is_served() -> None:
    snapshot = made(*WHOLE, *OTHERS)

    assert len(names(snapshot)) == 9
    assert snapshot.problems == ()


@pytest.mark.shows("T-OR-15")
def test_what_leads_nowhere_is_left_out_with_all_that_leads_to_it() -> None:
    snapshot = made(*(one for one in WHOLE if one.type is not ENDPOINTS), *OTHERS)

    assert names(snapshot) == {"Secret s"} | names(made(*OTHERS))
    assert [(one.code, one.source, one.sentence) for one in snapshot.problems] == [
        (
            Code.REFERENCE_MISSING,
            "Cluster c",
            "it needs ClusterLoadAssignment c, which is not served; it is left out",
        ),
        (
            Code.REFERENCE_MISSING,
            "Listener l",
            "it needs RouteConfiguration r, which is not served; it is left out",
        ),
        (
            Code.REFERENCE_MISSING,
            "RouteConfiguration r",
            "it needs Cluster c, which is not served; it is left out",
        ),
    ]


@pytest.mark.shows("T-OR-15")
def test_one_of_two_references_is_not_enough() -> None:
    snapshot = made(*(one for one in WHOLE if one.type is not SECRET))

    assert names(snapshot) == {"RouteConfiguration r", "Cluster c", "ClusterLoadAssignment c"}


@pytest.mark.shows("T-OR-15")
def test_a_reference_is_to_a_type_as_well_as_a_name() -> None:
    snapshot = made(draft(CLUSTER, "x", (ENDPOINTS, "x")), draft(SECRET, "x"))

    assert names(snapshot) == {"Secret x"}


def test_what_closes_again_comes_back() -> None:
    before = made(*WHOLE)
    without = made(*(one for one in WHOLE if one.type is not SECRET), previous=before)

    back = made(*WHOLE, previous=without)

    assert names(back) == names(before)
    assert {t: s.version for t, s in back.sets.items()} == {t: s.version for t, s in before.sets.items()}
    assert without.may_differ(before) == {LISTENER: {"l"}, SECRET: {"s"}}
