"""The file: what is refused and why, and that a kill at any moment leaves one that loads."""

import contextlib
import hashlib
import os
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.files.last_good_states import AT, CANARIES, CONSUL, EVERYTHING
from xds_server.files.last_good.body import Encoder, LastGood, decode
from xds_server.files.last_good.envelope import MAGIC, VERSION, Envelope, RefusedError, pack, unpack
from xds_server.files.last_good.loading import load
from xds_server.files.last_good.schema import descriptor, message_class
from xds_server.files.last_good.source import SourceId
from xds_server.files.last_good.store import NAME, Store
from xds_server.model.catalog import Catalog

GOLDEN = Path(__file__).parent / "data" / "last_good_v1.bin"
WEEK = 7 * 86400.0


def file_of(state: LastGood = EVERYTHING, at: float = AT, source: SourceId = CONSUL) -> bytes:
    return pack(Envelope(at=at, source=source, body=Encoder().encode(state)))


def why_not(data: bytes, source: SourceId = CONSUL, now: float = AT) -> str:
    with pytest.raises(RefusedError) as refused:
        load(data, source, WEEK, now)
    return str(refused.value)


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "state")
    made.claim()
    yield made
    made.close()


def there(store: Store) -> list[str]:
    return sorted(one.name for one in store.path.parent.iterdir())


# --- what is in it --------------------------------------------------------------------------------------


def test_what_was_written_is_read(store):
    store.write(file_of())

    loaded = load(store.read(), CONSUL, WEEK, AT + 60)

    assert loaded.at == AT
    assert loaded.state == EVERYTHING
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert there(store) == [NAME, "lock"]


def test_the_file_of_the_first_format_loads_for_ever():
    """To be made anew only where `EVERYTHING` gained something: old bytes have to go on meaning the same."""
    loaded = load(GOLDEN.read_bytes(), CONSUL, WEEK, AT)

    assert loaded.state == EVERYTHING
    assert loaded.at == AT


def test_no_key_and_no_token_is_in_the_file():
    data = file_of()

    assert [canary for canary in CANARIES if canary in data] == []
    assert [canary for canary in CANARIES if canary in unpack(data).body] == []


# --- what is refused ------------------------------------------------------------------------------------


@given(st.integers(0, len(file_of()) - 1))
def test_a_file_that_is_cut_short_anywhere_is_refused(length):
    assert "cut short" in why_not(file_of()[:length]) or length < len(MAGIC)


@given(st.integers(0, 8 * len(file_of()) - 1))
def test_a_file_with_any_bit_flipped_is_refused(bit):
    data = bytearray(file_of())
    data[bit // 8] ^= 1 << bit % 8

    assert why_not(bytes(data))


@given(st.binary(max_size=200), st.booleans())
def test_whatever_is_in_the_file_is_read_or_refused(data, begins_right):
    assert why_not(MAGIC + data if begins_right else data)


BODY = Encoder().encode(EVERYTHING)


@given(st.data())
def test_any_body_is_a_state_or_refused(data):
    """A digest is no proof of sense: whoever may write the file may write anything into it."""
    body = bytearray(data.draw(st.just(BODY) | st.binary(max_size=300)))
    for _ in range(data.draw(st.integers(0, 4))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(RefusedError):
        state = decode(bytes(body))
        assert decode(Encoder().encode(state)) == state


@pytest.mark.parametrize("data", [b"", b"\x00" * 4096, b"{}", MAGIC[:-1], b"\x7fELF" * 1000])
def test_a_file_of_somebody_else_is_refused(data):
    assert why_not(data) == "is no file of xds-server, or has lost its beginning"


def test_a_newer_format_is_refused_as_such():
    version = (VERSION + 1).to_bytes(2, "big")
    data = (
        MAGIC + version + hashlib.sha256(version + b"what we do not know").digest() + b"what we do not know"
    )

    assert why_not(data) == "has format 2, and this version of xds-server reads 1"


def test_a_whole_file_with_a_body_that_is_none_is_refused():
    bodies = [b"\xff" * 50, Encoder().encode(EVERYTHING).replace(b"passing", b"dancing")]
    reasons = [why_not(pack(Envelope(at=AT, source=CONSUL, body=body))) for body in bodies]

    assert all(reason.startswith("says what this version of xds-server does not know") for reason in reasons)


@pytest.mark.parametrize("size", [0, 10, 2**40, -1])
def test_a_body_that_grows_beyond_what_it_says_is_refused(size):
    packed = message_class(descriptor("Envelope"))(at=AT, body=zlib.compress(bytes(10**7)), size=size)
    head = VERSION.to_bytes(2, "big")
    data = packed.SerializeToString()

    assert "cannot be read" in why_not(MAGIC + head + hashlib.sha256(head + data).digest() + data)


def test_an_old_file_is_refused_and_one_of_the_future_is_not():
    assert "8.0 days ago, and state_max_age allows 7.0" in why_not(file_of(), now=AT + 8 * 86400)
    assert load(file_of(), CONSUL, WEEK, AT + WEEK - 1).at == AT
    assert load(file_of(), CONSUL, WEEK, 0.0).at == AT
    for strange in (float("nan"), float("-inf"), 1e300):
        with contextlib.suppress(RefusedError):
            load(file_of(at=strange), CONSUL, WEEK, AT)


@pytest.mark.parametrize(
    "other",
    [
        replace(CONSUL, datacenter="dc2"),
        replace(CONSUL, namespace="team"),
        replace(CONSUL, partition="edge"),
        SourceId(kind="file", file="/etc/catalog.yaml"),
    ],
)
def test_what_is_of_another_source_is_refused(other):
    assert why_not(file_of(source=other)) == f"is of {other}, and this server reads {CONSUL}"


def test_a_datacenter_that_is_not_known_yet_may_be_any():
    assert load(file_of(), replace(CONSUL, datacenter=""), WEEK, AT).at == AT


# --- where it is ----------------------------------------------------------------------------------------


def refusal(store):
    with pytest.raises(RefusedError) as refused:
        store.read()
    return str(refused.value)


def test_no_file_is_no_fault(store):
    assert store.read() is None


def test_only_a_plain_file_of_our_own_that_nobody_else_may_write_is_read(store, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.write_bytes(file_of())
    store.path.symlink_to(other)
    assert refusal(store) == "is a symbolic link; xds-server reads only a file of its own"
    store.path.unlink()
    store.path.mkdir()
    assert refusal(store) == "is no plain file"
    store.path.rmdir()
    os.mkfifo(store.path)
    assert refusal(store) == "is no plain file"
    store.path.unlink()
    store.write(file_of())
    store.path.chmod(0o660)
    assert refusal(store) == "may be written by others; its mode has to be 0600"
    store.path.chmod(0o600)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert refusal(store).endswith(" and xds-server runs as 4711")


def test_a_file_that_is_too_large_is_not_read(store):
    with store.path.open("wb") as file:
        file.truncate(10**12)
    store.path.chmod(0o600)

    assert refusal(store) == "is larger than 256 MiB"


def test_one_file_that_was_refused_is_kept_aside(store):
    for content in (b"first", b"second"):
        store.path.write_bytes(content)
        assert store.set_aside().read_bytes() == content

    assert there(store) == ["last-good.refused", "lock"]
    assert store.set_aside() is None


def test_one_server_writes_at_a_time(store):
    second = Store(store.path.parent)
    with pytest.raises(BlockingIOError):
        second.claim()
    store.path.write_bytes(b"x")
    assert second.set_aside() is None

    store.close()
    second.claim()
    second.close()


def test_a_write_that_fails_leaves_the_file_before_it_and_nothing_else(store, monkeypatch):
    store.write(b"good")

    def full(_file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.write(b"bad" * 10**6)

    assert store.read() == b"good"
    assert there(store) == [NAME, "lock"]


# --- kill -9 --------------------------------------------------------------------------------------------


def killed_while_writing(directory: Path, times: int) -> set[float]:
    """Kill a writer at so many random moments; give the states that were found, each of which loads.

    A process of its own forks the writers: this one may have threads.
    """
    command = [
        sys.executable,
        str(Path(__file__).with_name("last_good_killer.py")),
        str(directory),
        str(times),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        lines = process.stdout.read().decode().split()
    assert process.returncode == 0
    assert len(lines) == times
    return {float(line) for line in lines}


def test_kills_at_random_moments_leave_a_file_that_loads(tmp_path):
    assert killed_while_writing(tmp_path / "state", 25) <= {AT, AT + 1}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_at_200_random_moments_leave_a_file_that_loads(tmp_path):
    assert killed_while_writing(tmp_path / "state", 200) == {AT, AT + 1}


def test_a_catalog_without_services_is_a_catalog_too():
    empty = LastGood(catalog=Catalog.of("dc1", ()))

    assert load(file_of(empty), CONSUL, WEEK, AT).state == empty
