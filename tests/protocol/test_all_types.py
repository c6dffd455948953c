"""Every type this server knows, and three it does not, on one stream."""

import pytest

from tests.protocol.resources import (
    cluster,
    endpoints,
    extension,
    host,
    listener,
    routes,
    runtime,
    scope,
    secret,
    snapshot,
)
from tests.protocol.talk import TALKS
from xds_server.model.types import TypeUrl

IN_ORDER = [
    TypeUrl.RUNTIME,
    TypeUrl.SECRET,
    TypeUrl.CLUSTER,
    TypeUrl.ENDPOINTS,
    TypeUrl.EXTENSION,
    TypeUrl.LISTENER,
    TypeUrl.SCOPED_ROUTES,
    TypeUrl.ROUTES,
    TypeUrl.VIRTUAL_HOST,
]
UNKNOWN = [f"type.googleapis.com/no.such.Type{number}" for number in range(3)]


def everything(word, after):
    return snapshot(
        cluster("a", word),
        cluster("b"),
        endpoints("a", word),
        endpoints("b"),
        listener("a", word),
        routes("a", "a" if word == "1" else "b"),
        scope("a", word),
        host("a/a", "a" if word == "1" else "b"),
        secret("a", word),
        extension("a", word),
        runtime("a", word),
        after=after,
    )


OLD = everything("1", snapshot())
NEW = everything("2", OLD)


@pytest.mark.shows("P-090", "T-ST-13")
@pytest.mark.parametrize("variant", TALKS)
def test_all_types_change_at_once_and_all_arrive_in_order(variant):
    talk = TALKS[variant](OLD)
    for type_url in UNKNOWN:
        talk.ask(type_url, "a")
    for type_url in TypeUrl:
        name = "a/a" if type_url is TypeUrl.VIRTUAL_HOST else "a"
        assert [one.type for one in talk.ask(type_url, name)] == [type_url]
        talk.ack(type_url)

    waiting, arrived = talk.offer(NEW), []
    while waiting:
        arrived.append(waiting.pop(0))
        waiting += talk.ack(arrived[-1].type)

    changes = [one for one in arrived if one.resources]
    # Endpoints and routes may come once more, behind the parents that void them.
    first = list(dict.fromkeys(one.type for one in changes))
    assert first == IN_ORDER
    held = {one.type: set(one.resources.values()) for one in changes}
    assert held[TypeUrl.ROUTES] == held[TypeUrl.VIRTUAL_HOST] == {"b"}
    assert all(held[one] == {"2"} for one in TypeUrl if held[one] != {"b"})
