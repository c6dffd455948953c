from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xds_server.reading.yaml import Mapping, NotYamlError, Scalar, Sequence, compose


def words(text: str) -> dict[str, object]:
    tree = compose(text.encode())
    assert isinstance(tree, Mapping)
    return {key.text: value.value for key, value in tree.entries if isinstance(value, Scalar)}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("on", "on"),
        ("no", "no"),
        ("y", "y"),
        ("yes", "yes"),
        ("12", 12),
        ("-3", -3),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("1.5", 1.5),
        (".5e1", 5.0),
        ("2024-01-01", "2024-01-01"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("9" * 30, "9" * 30),
    ],
)
def test_a_word_means_what_the_core_schema_says(word, value):
    found = words(f"key: {word}")["key"]

    assert (found, type(found)) == (value, type(value))


def test_a_key_is_text_however_it_is_written():
    assert words("on: a\n12: b\ntrue: c\nnull: d\n") == {"on": "a", "12": "b", "true": "c", "null": "d"}


def test_lines_are_counted_from_one():
    tree = compose(b"\na:\n  - b\n  - c\n")

    assert isinstance(tree, Mapping)
    ((key, value),) = tree.entries
    assert isinstance(value, Sequence)
    assert (key.line, [item.line for item in value.items]) == (2, [3, 4])


@pytest.mark.parametrize(
    "text", [b"", b"\n\n", b"# only this\n", b"---\n", b"---\n...\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf# x\n"]
)
def test_a_file_with_nothing_in_it_is_nothing(text):
    assert compose(text) is None


def test_a_byte_order_mark_is_no_part_of_the_first_key():
    assert words("\ufeffkey: a") == {"key": "a"}


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        (b"a: 1\nb: [1\n", 3, "is not YAML"),
        (b"a:\n\tb: 1\n", 2, "indent with spaces"),
        (b"a: 1\n--- \nb: 2\n", 2, "second document"),
        (b"a: &x [1]\nb: *x\n", 2, "alias *x"),
        (b"a: 1\nb: !!python/object/apply:os.system ['true']\n", 2, "python/object"),
        (b"a: !!timestamp 2024-01-01\n", 1, "timestamp"),
        (b"a: !<tag:yaml.org,2002:set> {b}\n", 1, "set"),
        (b"a: 1\nb: \xff\xfe\n", 2, "not UTF-8"),
        (b"a: 1\n? [x, y]\n: 2\n", 2, "where a key must be"),
        (b"[" * 100_000, 1, "nested deeper than 32"),
        (b"".join(b" " * depth + b"a:\n" for depth in range(100)), 33, "nested deeper than 32"),
        (b'a: "\\uD800"\n', 1, ""),
        (b'a: "\\UFFFFFFFF"\n', 1, ""),
        (b"a: \x01\n", 0, "is not YAML"),
        (b"a\0b: 1\n", 0, "is not YAML"),
    ],
)
def test_what_is_not_yaml_as_we_read_it_is_refused_with_its_line(text, line, part):
    with pytest.raises(NotYamlError) as caught:
        compose(text)

    assert part in caught.value.finding.sentence
    assert caught.value.finding.line == line


def test_an_alias_bomb_costs_nothing():
    bomb = b"a: &a [x,x,x]\n" + b"".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n".encode() for n in range(20)
    )

    with pytest.raises(NotYamlError, match="alias"):
        compose(bomb)


@given(
    st.binary(max_size=300)
    | st.text(alphabet="ab:-[]{}&*!|>'\"#%@`\n \t,?~0.\\u\ud800\x00", max_size=60).map(
        lambda text: text.encode("utf-8", "surrogatepass")
    )
)
def test_any_bytes_are_a_tree_or_refused(data):
    with suppress(NotYamlError):
        compose(data)
