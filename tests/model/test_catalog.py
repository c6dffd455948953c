from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xds_server.model.catalog import Catalog, Instance, Service, is_service_name
from xds_server.model.problem import Code, Problem


@pytest.mark.parametrize("name", ["a", "9", "user", "User-API", "a.b_c-9", "a" * 128, "xn--caf-dma"])
def test_good_names(name: str) -> None:
    assert is_service_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a" * 129,
        "a" * 300_000,
        "nul\0",
        "line\nbreak",
        "user\n",
        "tab\t",
        "zz/../payments",
        "a/b",
        "a%2fb",
        "a?b",
        "a#b",
        "a b",
        'a"b',
        "${a}",
        "{{a}}",
        "café",
        "cafe\u0301",
        "user\u202e",
        "us\u200ber",
        "\ufffd",
        "\u0661",
        "user.",
        ".user",
        ".",
        "..",
        "a..b",
        "*",
        "__class__",
        "-a",
        "a-",
        "a:b",
    ],
)
def test_names_that_mean_something_elsewhere(name: str) -> None:
    assert not is_service_name(name)


@given(st.text(max_size=200))
def test_a_good_name_is_short_plain_ascii(name: str) -> None:
    if is_service_name(name):
        assert len(name) <= 128
        assert name.isascii()
        assert name.isprintable()
        assert not set(name) & set("/\\%?#:@*[]{}<>\"' ")


def instance(identity: str, node: str = "n1", index: int = 0) -> Instance:
    return Instance(node=node, id=identity, address="10.0.0.1", port=80, index=index)


def test_instances_are_sorted_by_node_and_id() -> None:
    service = Service.of("user", [instance("b"), instance("a", "n2"), instance("a")])

    assert [(one.node, one.id) for one in service.instances] == [("n1", "a"), ("n1", "b"), ("n2", "a")]


def test_services_are_sorted_by_name() -> None:
    catalog = Catalog.of("dc1", [Service(name="b"), Service(name="a")])

    assert list(catalog.services) == ["a", "b"]


def test_a_catalog_cannot_be_changed() -> None:
    catalog = Catalog.of("dc1", [])

    with pytest.raises(TypeError):
        catalog.services["user"] = Service(name="user")  # type: ignore[index]


def test_consuls_index_does_not_make_a_difference() -> None:
    assert instance("a", index=7) == instance("a", index=8)

    problems = [Problem(code=Code.SERVICE_NAME, source="x", sentence="y", index=index) for index in (7, 8)]
    assert problems[0] == problems[1]


def test_instances_of_one_node_and_id_are_in_the_same_order_whichever_comes_first() -> None:
    twins = [instance("b"), *(replace(instance("a"), port=port) for port in (2, 1))]

    assert Service.of("user", twins) == Service.of("user", twins[::-1])
    assert [one.id for one in Service.of("user", twins).instances] == ["a", "a", "b"]
