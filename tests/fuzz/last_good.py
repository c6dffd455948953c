"""F-g: whatever the file of the last good state holds is a state or a refusal, whatever its digest."""

from hypothesis import strategies as st

from tests.fuzz.mutation import mutated
from tests.fuzz.target import Target, contents
from tests.runtime.inputs import catalog
from xds_server.files.last_good.body import Encoder, LastGood
from xds_server.files.last_good.envelope import Envelope, RefusedError, pack
from xds_server.files.last_good.loading import load
from xds_server.files.last_good.source import SourceId
from xds_server.model.catalog import is_service_name
from xds_server.model.policy import Policy
from xds_server.model.proxy import Group
from xds_server.model.secret import Secrets
from xds_server.snapshot import EMPTY, build
from xds_server.translate import Translator

NOW = 1_800_000_000.0
"""Seconds; a minute after the file was written."""

_SOURCE = SourceId(kind="consul", datacenter="dc1")
_BODY = Encoder().encode(LastGood(catalog=catalog(user=8001, order=8002)))
_FILE = pack(Envelope(at=NOW - 60, source=_SOURCE, body=_BODY))


def fuzz_one(given: tuple[bool, bytes]) -> None:
    """`given` is the bytes of the file, or those of the state in a file that is right as a whole."""
    is_body, data = given
    file = pack(Envelope(at=NOW - 60, source=_SOURCE, body=data)) if is_body else data
    try:
        found = load(file, _SOURCE, 7 * 86400.0, NOW)
    except RefusedError as error:
        told(str(error))
        return
    assert all(map(is_service_name, found.state.catalog.services))
    made = Translator(Group()).translate(found.state.catalog, Policy(), Secrets())
    build(made.drafts, made.problems, EMPTY, made.derived)


def told(sentence: str) -> None:
    assert sentence.isprintable()
    assert len(sentence) < 2000


def both(data: bytes) -> tuple[bool, bytes]:
    return not data.startswith(b"xds-server"), data


_SEEDS = contents("last-good")
TARGET = Target(
    name="last-good",
    inputs=st.one_of(
        st.tuples(st.just(True), mutated([_BODY, *_SEEDS])),
        st.tuples(st.just(False), mutated([_FILE, *_SEEDS])),
    ),
    one=fuzz_one,
    of_bytes=both,
)
