"""F-a: whatever Consul answers is values or `Unreadable`, and what is told of it fits on a line."""

from contextlib import suppress

from tests.consul.recorded import DATA, recorded
from tests.fuzz.mutation import mutated
from tests.fuzz.target import Target, contents
from xds_server.consul import wide
from xds_server.consul.chains import decode_chain
from xds_server.consul.decode import choose_names, decode_service, decode_services
from xds_server.consul.entries import Kind, decode_entries
from xds_server.consul.errors import Unreadable
from xds_server.model.problem import Problem


def fuzz_one(data: bytes) -> None:
    with suppress(Unreadable):
        check(*choose_names(decode_services(data), frozenset({"consul"}))[1])
    with suppress(Unreadable):
        answer = decode_service("user", data, "dc1")
        check(*answer.problems)
        assert len(answer.problems) <= 51
        assert {one.datacenter for one in answer.service.instances} <= {"dc1", ""}
    for kind in Kind:
        with suppress(Unreadable):
            check(*decode_entries(kind, data).problems)
    with suppress(Unreadable):
        check(*decode_chain("user", data).problems)
    for digest in (wide.digest_tags, wide.digest_checks, wide.digest_nodes):
        with suppress(Unreadable):
            digest(data)


def check(*problems: Problem) -> None:
    for problem in problems:
        for text in (problem.source, problem.sentence):
            assert text.isascii()
            assert text.isprintable()
            assert len(text) < 2000


_RECORDED = [recorded(path.stem) for path in sorted(DATA.glob("*.json"))]
TARGET = Target(
    name="consul-json",
    inputs=mutated([*_RECORDED, *contents("consul-json")]),
    one=fuzz_one,
    of_bytes=bytes,
)
