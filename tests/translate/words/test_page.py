"""docs/reference/registrations.md says what the schema does: neither more nor less."""

import re
from pathlib import Path

import pytest

from tests.test_docs import rows
from tests.translate.words.registrations import of_meta, of_tags, only
from xds_server.model.policy import LbPolicy
from xds_server.translate.words.fabio import _CLOSING, _READ, _WITHOUT
from xds_server.translate.words.schema import _HEALTH, _PROTOCOLS, OPTIONS, WORDS

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "registrations.md").read_text()
ROWS = [row for row in rows(PAGE) if len(row) == 5]
VALUES = {
    "protocol": _PROTOCOLS,
    "health": _HEALTH,
    "lb-policy": [str(one) for one in LbPolicy],
}


def test_every_word_and_every_option_has_a_row_and_every_row_is_one():
    assert {row[0].strip("`") for row in ROWS} == {*WORDS, *OPTIONS}
    assert len(ROWS) == len(WORDS) + len(OPTIONS)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_word_is_spelt_as_the_page_says(row):
    word, meta, tag = (cell.strip("`") for cell in row[:3])
    name = "" if word in WORDS else "name-"

    assert meta.replace("NAME", "name") == f"xds-{name}{word}"
    assert tag.replace("NAME", "name") == f"xds.{name}{word}".replace("-", ".")
    assert row[4].endswith(".")


@pytest.mark.parametrize("word", VALUES)
def test_the_values_of_a_choice_are_those_of_the_page(word):
    (row,) = [row for row in ROWS if row[0] == f"`{word}`"]

    assert re.findall(r"`([^`]+)`", row[3]) == list(VALUES[word])


def test_the_examples_of_the_page_are_understood():
    (meta,) = re.findall(r"Meta: (\{.+\})", PAGE)
    (tags,) = re.findall(r"Tags: (\[.+\])", PAGE)

    by_meta = of_meta(dict(re.findall(r'"([^"]+)": "([^"]+)"', meta)))
    assert by_meta.problems == ()
    assert only(by_meta) == only(of_tags(*re.findall(r'"([^"]+)"', tags)))
    examples = [row[0].strip("`") for row in rows(PAGE) if len(row) == 2 and row[0][1] in "s*/"]
    assert [of_meta({"xds-route": one}).problems for one in examples[:7]] == [()] * 7


def test_every_option_of_fabio_that_the_code_knows_is_on_the_page():
    told = set(re.findall(r"`(\w+)=", PAGE.partition("## Fabio's tags")[2].partition("## Traefik")[0]))

    assert told == _READ | _WITHOUT | set(_CLOSING)
