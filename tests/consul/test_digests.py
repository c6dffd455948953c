import json

import pytest

from xds_server.consul.errors import Unreadable
from xds_server.consul.wide import Changed, Digests, changed, digest_checks, digest_nodes, digest_tags


def check(service: str, status: str = "passing", **more: object) -> dict[str, object]:
    ids = {"ServiceName": service, "ServiceID": service and f"{service}-1"}
    return {"Node": "n1", "CheckID": "c", "Status": status, "Output": "ok", "CreateIndex": 5, **ids, **more}


def checks(*rows: dict[str, object]) -> Digests:
    return digest_checks(json.dumps(rows).encode())


BEFORE = checks(check("a"), check("b"), check(""))


@pytest.mark.parametrize(
    ("after", "services", "nodes"),
    [
        ([check("b"), check(""), check("a")], "", ""),
        ([check("a", Output="new", ModifyIndex=9), check("b"), check("")], "", ""),
        ([check("a", "critical"), check("b"), check("")], "a", ""),
        ([check("b"), check("")], "a", ""),
        ([check("a"), check("a", Node="n2"), check("b"), check("")], "a", ""),
        ([check("a"), check("a"), check("a"), check("b"), check("")], "a", ""),
        ([check("a", CreateIndex=9), check("b"), check("")], "a", ""),
        ([check("a"), check("b"), check("c"), check("")], "c", ""),
        ([check("a"), check("b"), check("", "critical")], "", "n1"),
        ([], "ab", "n1"),
    ],
)
def test_checks(after: list[dict[str, object]], services: str, nodes: str) -> None:
    assert changed(BEFORE, checks(*after)) == Changed(
        services=frozenset(services), nodes=frozenset(filter(None, [nodes]))
    )


def test_tags_have_no_order() -> None:
    before = digest_tags(b'{"a": ["x", "y"], "b": [], "c": null}')
    after = digest_tags(b'{"a": ["y", "x"], "b": ["z"], "d": []}')
    assert changed(before, after).services == {"b", "c", "d"}


def test_of_nodes_only_what_instances_take_over_counts() -> None:
    node = {"Node": "n", "Address": "10.0.0.1", "Meta": {"zone": "a"}, "ModifyIndex": 4}

    def digest(**other: object) -> Digests:
        return digest_nodes(json.dumps([node | other]).encode())

    assert changed(digest(), digest(ModifyIndex=9, TaggedAddresses={"wan": "1.2.3.4"})) == Changed()
    assert changed(digest(), digest(Address="10.0.0.2")).nodes == {"n"}
    assert changed(digest(), digest(Meta={"zone": "b"})).nodes == {"n"}
    assert changed(digest(), digest(Node="m")).nodes == {"n", "m"}


@pytest.mark.parametrize("digest", [digest_checks, digest_nodes, digest_tags])
@pytest.mark.parametrize(
    "body", [b"", b"[", b"7", b"\xff", b'"a"', b"[7]", b'{"a": 7}', b"[" * 100_000, b'[{"Node": 7}]']
)
def test_what_cannot_be_read_is_an_error(digest, body: bytes) -> None:
    with pytest.raises(Unreadable):
        digest(body)
