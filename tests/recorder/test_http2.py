import pytest

from tests.rig.http2 import (
    DATA,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    FrameReader,
    MessageReader,
    NotHttp2Error,
)


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def read(reader, data, size):
    return [one for at in range(0, len(data), size) for one in reader.feed(data[at : at + size])]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_frames_come_out_whole_whatever_the_pieces(size):
    sent = frame(HEADERS, 4, 1, b"x" * 300) + frame(DATA, 0, 1, b"one") + frame(DATA, 1, 3, b"")
    found = read(FrameReader(preface=True), PREFACE + sent, size)
    assert [(one.type, one.stream, one.payload) for one in found] == [
        (HEADERS, 1, b"x" * 300),
        (DATA, 1, b"one"),
        (DATA, 3, b""),
    ]
    assert [one.ends_stream for one in found] == [False, False, True]


def test_padding_is_taken_off():
    (found,) = FrameReader(preface=False).feed(frame(DATA, 0x8, 1, b"\x03data\0\0\0"))
    assert found.payload == b"data"


def test_the_reserved_bit_of_a_stream_is_passed_over():
    (found,) = FrameReader(preface=False).feed(frame(RST_STREAM, 0, 0x8000_0005, b"\0\0\0\x08"))
    assert (found.stream, found.resets) == (5, True)


def test_a_ping_and_its_answer():
    found = FrameReader(preface=False).feed(frame(PING, 0, 0, bytes(8)) + frame(PING, 1, 0, bytes(8)))
    assert [one.is_ping for one in found] == [True, False]


@pytest.mark.parametrize("first", [b"\x16\x03\x01\x02", PREFACE[:10] + b"x"])
def test_what_is_no_http2_is_told(first):
    with pytest.raises(NotHttp2Error):
        list(FrameReader(preface=True).feed(first))


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_messages_come_out_whole_whatever_the_pieces(size):
    sent = b"".join(b"\0" + len(one).to_bytes(4) + one for one in (b"first", b"", b"x" * 500))
    assert read(MessageReader(), sent, size) == [b"first", b"", b"x" * 500]


def test_a_compressed_message_is_told():
    with pytest.raises(ValueError, match="compressed"):
        list(MessageReader().feed(b"\x01\0\0\0\x01x"))
