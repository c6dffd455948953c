"""Bytes that are nearly right: seeds that are flipped, cut, spliced and repeated, beside any bytes at all."""

from collections.abc import Sequence

from hypothesis import strategies as st

_MOST = 64 * 1024
_WORDS = [
    b"\x00",
    b"\xff",
    b"\r\n",
    b"null",
    b"-1",
    b"1e999",
    b'"',
    b"{",
    b"[",
    b"\\ud800",
    b"\xed\xa0\x80",
    b"NaN",
]


def mutated(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Give seeds with a few changes, and sometimes text or bytes that have nothing to do with them."""
    near = _near(seeds)
    if not seeds:
        return st.binary(max_size=300)
    return st.one_of(near, near, near, st.text(max_size=80).map(_encoded), st.binary(max_size=120))


@st.composite
def _near(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 5))):
        data = _changed(draw, data, seeds)[:_MOST]
    return data


def _changed(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    start, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
    end = min(end, start + draw(st.sampled_from([1, 8, 64, 100_000])))
    match draw(st.sampled_from(["flip", "cut", "end", "put", "repeat", "splice", "word"])):
        case "flip":
            bit = 1 << draw(st.integers(0, 7))
            return data[:start] + bytes([one ^ bit for one in data[start : start + 1]]) + data[start + 1 :]
        case "cut":
            return data[:start] + data[end:]
        case "end":
            return data[:start]
        case "put":
            return data[:start] + draw(st.binary(min_size=1, max_size=8)) + data[end:]
        case "repeat":
            return data[:start] + data[start:end] * draw(st.integers(2, 40)) + data[end:]
        case "splice":
            return data[:start] + draw(st.sampled_from(seeds))[start:]
        case _:
            return data[:start] + draw(st.sampled_from(_WORDS)) + data[end:]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
