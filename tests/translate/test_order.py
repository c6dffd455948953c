"""The same content gives the same bytes, however it was put together and whatever was there before."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rig.catalogs import POLICY, SECRETS, catalogs, shuffled, shuffled_policy
from xds_server.model.catalog import Catalog
from xds_server.model.problem import Code, Problem
from xds_server.model.proxy import Group
from xds_server.model.secret import Secrets
from xds_server.model.types import TypeUrl
from xds_server.snapshot import EMPTY, build
from xds_server.translate import Translation, Translator

Plain = tuple[list[tuple[TypeUrl, str, bytes]], tuple[Problem, ...]]


def plain(translation: Translation) -> Plain:
    return [
        (type_url, draft.name, draft.packed)
        for type_url, drafts in translation.drafts.items()
        for draft in drafts.values()
    ], translation.problems


def fresh(catalog: Catalog) -> Translation:
    return Translator(Group()).translate(catalog, POLICY, SECRETS)


@settings(max_examples=30)
@given(catalogs(), st.randoms(use_true_random=False))
@pytest.mark.shows("P-022")
def test_the_order_of_the_input_changes_no_byte(catalog: Catalog, random: Random) -> None:
    secrets = Secrets(by_name=dict(random.sample(list(SECRETS.by_name.items()), len(SECRETS.by_name))))

    other = Translator(Group()).translate(shuffled(catalog, random), shuffled_policy(POLICY, random), secrets)

    assert plain(other) == plain(fresh(catalog))


@settings(max_examples=20)
@given(st.lists(catalogs(), min_size=2, max_size=4))
@pytest.mark.shows("P-021")
def test_what_was_there_before_changes_no_byte(history: list[Catalog]) -> None:
    translator = Translator(Group())

    for catalog in history:
        made = translator.translate(catalog, POLICY, SECRETS)

    assert plain(made) == plain(fresh(history[-1]))


@settings(max_examples=30)
@given(catalogs())
@pytest.mark.shows("P-063")
def test_names_are_unique_and_all_references_close(catalog: Catalog) -> None:
    translation = fresh(catalog)

    for drafts in translation.drafts.values():
        assert [draft.name for draft in drafts.values()] == sorted(drafts)
    snapshot = build(translation.drafts, translation.problems, EMPTY)
    assert Code.REFERENCE_MISSING not in {problem.code for problem in snapshot.problems}
    assert Code.TRANSLATION_FAILED not in {problem.code for problem in snapshot.problems}
