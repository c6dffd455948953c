"""What is recognised as good by its bytes is held to be good by the whole check as well."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf import json_format
from validate import validate_pb2

from tests.rig.catalogs import POLICY, SECRETS, catalog, service
from xds_server.model.catalog import Instance, Locality, Status, Weights
from xds_server.model.proxy import Group
from xds_server.model.types import TypeUrl
from xds_server.snapshot.check import check, quick
from xds_server.snapshot.check.quick import is_plainly_good
from xds_server.translate import Draft, Translator
from xds_server.translate.packing import draft, encoded

EDS = TypeUrl.ENDPOINTS
FLIPS = 5000


def endpoint(address: str = "10.0.0.9", port: int = 80, **fields: object) -> dict[str, object]:
    socket = {"address": address, "port_value": port}
    return {"endpoint": {"address": {"socket_address": socket}}, **fields}


def of(*endpoints: dict[str, object], **fields: object) -> Draft:
    given = {"cluster_name": "c", "endpoints": [{"lb_endpoints": list(endpoints)}], **fields}
    return draft(EDS, "c", json_format.ParseDict(given, ClusterLoadAssignment()))


def registered(number: int, **fields: Any) -> Instance:
    return Instance(node=f"n{number}", id=f"i{number}", **fields)


def translated() -> Iterator[Draft]:
    """Give the clusters and endpoints of services in all sorts of states."""
    warning = (Status.PASSING, Status.WARNING)
    weights = Weights(passing=300, warning=70_000)
    places = [Locality(region="r", zone=zone, sub_zone="ß") for zone in ("a", "b")]
    several = [
        registered(number, address=address, port=port, locality=places[number % 2], statuses=statuses)
        for number, (address, port, statuses) in enumerate(
            [("10.0.0.1", 1, ()), ("110.110.110.110", 65_535, warning), ("2001:db8::1", 128, ())]
        )
    ]
    weighed = registered(4, address="10.0.0.4", port=8080, weights=weights, statuses=warning)
    made = Translator(Group()).translate(
        catalog(service("user", *several), service("order", weighed), service("empty")), POLICY, SECRETS
    )
    for type_url in (TypeUrl.CLUSTER, EDS):
        yield from made.drafts[type_url].values()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the whole check do without the quick one."""
    monkeypatch.setattr("xds_server.snapshot.check.resource.is_plainly_good", lambda _: False)


def test_what_translation_makes_is_recognised() -> None:
    made = list(translated())

    assert len(made) >= 6
    assert [one.name for one in made if not is_plainly_good(one)] == []


@pytest.mark.parametrize(
    "bad",
    [
        of(endpoint(), endpoint()),
        of(endpoint(port=0)),
        of(endpoint(port=65_536)),
        of(endpoint("example.test")),
        of(endpoint("10.0.0.256")),
        of(endpoint(load_balancing_weight=0)),
        of(endpoint(), endpoint("10.0.0.1", load_balancing_weight=2**32 - 1)),
        of({"endpoint": {"address": {"pipe": {"path": "/run/x"}}}}),
        of(endpoint(), policy={"overprovisioning_factor": 0}),
        of(endpoint(), endpoints=[{}, {}]),
        of(endpoint(), endpoints=[{"priority": 1}]),
        of(endpoint(), cluster_name="other"),
        draft(EDS, "", ClusterLoadAssignment()),
        draft(EDS, "c", Cluster(name="c")),
        draft(TypeUrl.CLUSTER, "c", Cluster(name="c", connect_timeout={"seconds": -1})),
        draft(TypeUrl.CLUSTER, "c", Cluster(name="other")),
        encoded(TypeUrl.CLUSTER, "c", b"\x0a\x01c\x0a\x01d"),
        encoded(EDS, "c", b"\x0a\x01c\x0a\x01d"),
        Draft(type=EDS, name="c", packed=b""),
        Draft(type=EDS, name="\ud800", packed=encoded(EDS, "?", b"\x0a\x01?").packed),
    ],
)
def test_what_is_wrong_is_never_recognised(bad: Draft) -> None:
    assert not is_plainly_good(bad)


def test_something_said_twice_is_not_recognised() -> None:
    # The second address is the one that counts; protobuf itself never writes it like this.
    once = of(endpoint()).packed
    message = ClusterLoadAssignment.FromString(once[once.index(b"\x0a\x01c") :])
    (one,) = message.endpoints[0].lb_endpoints
    again = one.SerializeToString().replace(b"10.0.0.9", b"evil.tld")
    twice = one.SerializeToString() + again
    inner = b"\x12" + bytes([len(twice)]) + twice
    content = b"\x0a\x01c\x12" + bytes([len(inner)]) + inner

    assert not is_plainly_good(encoded(EDS, "c", content))


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("large", [0, quick._LARGE], ids=["in blocks", "at once"])
def test_bytes_that_were_changed_are_recognised_only_where_the_whole_check_finds_them_good(
    large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick, "_LARGE", large)
    chance, good = random.Random(7), 0  # noqa: S311 - the same each time
    drafts = [one for one in translated() if len(one.packed) > 100]
    for _ in range(FLIPS):
        one = chance.choice(drafts)
        changed = bytearray(one.packed)
        for _ in range(chance.randint(1, 2)):
            changed[chance.randrange(60, len(changed))] = chance.choice((0, 1, 9, 18, 48, 57, 127, 255))
        candidate = Draft(type=one.type, name=one.name, packed=bytes(changed))
        if is_plainly_good(candidate):
            good += 1
            checked = check(candidate)
            assert checked.draft is candidate, (checked.complaints, changed.hex())
            assert checked.complaints == ()
    assert good > FLIPS / 100


def test_any_text_but_an_empty_one_is_a_good_name() -> None:
    # The quick check looks at no name: see `quick._NAME`.
    named = (Cluster.DESCRIPTOR.fields_by_name["name"], ClusterLoadAssignment.DESCRIPTOR.fields_by_number[1])
    for field in named:
        stated = field.GetOptions().Extensions[validate_pb2.rules].string.ListFields()
        assert (field.number, [(option.name, value) for option, value in stated]) == (1, [("min_len", 1)])


def test_endpoints_of_one_shape_are_held_to_the_rules_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    original = quick.broken
    monkeypatch.setattr(quick, "broken", lambda message: asked.append(message) or original(message))
    quick._weight.cache_clear()

    for number in range(100, 200):
        assert is_plainly_good(of(endpoint(f"10.1.0.{number}", 2000 + number)))

    assert len(asked) == 1
