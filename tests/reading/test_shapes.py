import os
from pathlib import Path
from typing import Annotated, Literal

import pytest
from msgspec import UNSET, Meta, Struct, UnsetType

from xds_server.reading import DURATION, ReadError, parse_duration, read_document

Duration = Annotated[float, Meta(ge=0.001, le=3600, extra={"read": DURATION, "expected": "a duration"})]


class Inner(Struct, frozen=True):
    count: Annotated[int, Meta(ge=1, le=9)] = 1
    wait: Duration = 1.0


class Shape(Struct, frozen=True):
    name: Annotated[str, Meta(min_length=1, pattern="^[a-z]+$")]
    inner: Inner = Inner()
    maybe: Inner | bool | UnsetType = UNSET
    kind: Literal["one", "two"] = "one"
    many: tuple[str, ...] = ()
    by_name: dict[str, Inner] = {}
    share: float = 0.5


def read(tmp_path: Path, text: str) -> Shape:
    (tmp_path / "x.yaml").write_text(text)
    document = read_document(tmp_path / "x.yaml", Shape, limit=1000)
    assert document is not None
    return document.value


def complaint(tmp_path: Path, text: str) -> str:
    with pytest.raises(ReadError) as caught:
        read(tmp_path, text)
    return "\n".join(finding.at("x.yaml") for finding in caught.value.findings)


def test_a_whole_file_is_read(tmp_path):
    text = """
name: abc
inner: {count: 3, wait: 250ms}
maybe: {count: 2}
kind: two
many: [a, "1"]
by_name:
  a.b: {}
share: 1
"""

    assert read(tmp_path, text) == Shape(
        name="abc",
        inner=Inner(count=3, wait=0.25),
        maybe=Inner(count=2),
        kind="two",
        many=("a", "1"),
        by_name={"a.b": Inner()},
        share=1,
    )


def test_lines_are_those_of_the_keys(tmp_path):
    (tmp_path / "x.yaml").write_text("name: a\nby_name:\n  a.b:\n    count:\n      2\nmany:\n  - x\n")

    document = read_document(tmp_path / "x.yaml", Shape, limit=1000)

    assert document is not None
    assert document.lines == {
        "": 1,
        "name": 1,
        "by_name": 2,
        'by_name["a.b"]': 3,
        'by_name["a.b"].count': 4,
        "many": 6,
        "many[0]": 7,
    }


def test_everything_wrong_is_found_in_one_go(tmp_path):
    text = """
nam: abc
inner: {count: 12, wait: 5 s}
maybe: [1]
kind: too
many: {}
by_name: {x: 3, x: {cont: 1}}
share: .inf
"""

    assert complaint(tmp_path, text).splitlines() == [
        'x.yaml:2: nam: is not a key here; did you mean "name"?',
        "x.yaml:2: name: is required; add it",
        "x.yaml:3: inner.count: expected a whole number from 1 to 9, but found the number 12",
        'x.yaml:3: inner.wait: expected a duration, but found the text "5 s"',
        "x.yaml:4: maybe: expected a mapping with the keys count, wait, or true or false, but found a list",
        'x.yaml:5: kind: "too" is not known; did you mean "two"?',
        "x.yaml:6: many: expected a list of text, but found a mapping",
        "x.yaml:7: by_name.x: expected a mapping with the keys count, wait, but found the number 3",
        "x.yaml:7: by_name.x: is written twice, first on line 7; keep one",
        'x.yaml:7: by_name.x.cont: is not a key here; did you mean "count"?',
        "x.yaml:8: share: expected a number, but found the number .inf",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "name: 12",
            'name: expected text, but found the number 12; put it in quotes if the text "12" is meant',
        ),
        ("name: true", "found the boolean true; put it in quotes"),
        ("name:", "name: has no value; expected text, or remove the key"),
        ("name: ''", "name: is empty; give it a value or remove the key"),
        ('name: "a\\n"', 'name: "a\\n" does not match'),
        ("{name: a, inner: {count: 1.0}}", "expected a whole number from 1 to 9, but found the number 1.0"),
        ("{name: a, inner: {count: true}}", "found the boolean true"),
        ("{name: a, inner: {wait: 2h}}", "inner.wait: must be from 0.001 to 3600 seconds"),
        ("{name: a, inner: {wait: 0}}", "inner.wait: must be from 0.001 to 3600 seconds"),
        ("{name: a, inner: {wait: .nan}}", "expected a duration, but found the number .nan"),
        ("{name: a, inner: {wait: true}}", "expected a duration"),
        ("{name: a, maybe: {cuont: 1}}", 'maybe.cuont: is not a key here; did you mean "count"?'),
        ("{name: a, kind: zzz}", '"zzz" is not known; use one of one, two'),
        ("{name: a, kind: 1}", "expected one or two"),
        ("just text", "expected a mapping with the keys name, inner"),
        ("[1, 2]", "but found a list"),
    ],
)
def test_one_wrong_value_has_one_sentence(tmp_path, text, sentence):
    found = complaint(tmp_path, text)

    assert sentence in found
    assert "\n" not in found


def test_a_long_or_hostile_word_is_cut_and_escaped(tmp_path):
    found = complaint(tmp_path, 'name: a\n"x\\e[31m' + "y" * 500 + '": 1\n')

    assert "\x1b" not in found
    assert len(found) < 400


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is not a regular file"),
        (lambda path: path.write_bytes(b"#" * 1001), "is larger than"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, make, sentence):
    make(tmp_path / "x.yaml")

    with pytest.raises(ReadError, match=sentence):
        read_document(tmp_path / "x.yaml", Shape, limit=1000)


def test_a_fifo_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "x.yaml")

    with pytest.raises(ReadError, match="is not a regular file"):
        read_document(tmp_path / "x.yaml", Shape, limit=1000)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5.0),
        ("250ms", 0.25),
        ("1m", 60.0),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        (2, 2.0),
        (0.5, 0.5),
        ("", None),
        ("5", None),
        ("s", None),
        ("-5s", None),
        ("5 s", None),
        ("5d", None),
        ("٣s", None),
        (-1, None),
        (float("inf"), None),
        (True, None),
        (None, None),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds
