import asyncio
import logging

import pytest

from xds_server.files import CatalogFileError, CatalogFileSource, read_catalog
from xds_server.files.catalog import read_again
from xds_server.model.catalog import Catalog, Instance, Locality, Service, Status, Weights
from xds_server.model.problem import Code
from xds_server.runtime.latest import Latest

WHOLE = """
datacenter: dc2
services:
  user:
    instances:
      - address: 10.0.0.2
      - id: a
        node: n
        address: "10.0.0.1"
        port: 80
        tags: [x, "on"]
        meta: {k: v, a: "1"}
        weights: {passing: 3, warning: 0}
        checks: [{id: z, status: warning}, {id: b, status: strange}]
        locality: {region: r, zone: z, sub_zone: s}
        tagged: {wan: {address: 1.2.3.4, port: 1}, lan: {address: x}}
        node_meta: {rack: "7"}
        ports: {metrics: 9090, http: 80}
        created: 12
      - {address: 10.0.0.3, ports: {http: 8080, admin: 1}}
  "on": {}
"""


def read(folder, text: str) -> Catalog:
    (folder / "c.yaml").write_text(text)
    return read_catalog(folder / "c.yaml")


def test_everything_consul_says_can_be_said(tmp_path):
    expected = Service.of(
        "user",
        [
            Instance(node="node-1", id="user-1", address="10.0.0.2", port=0, datacenter="dc2"),
            Instance(
                node="node-3",
                id="user-3",
                address="10.0.0.3",
                port=8080,
                ports=(("admin", 1), ("http", 8080)),
                datacenter="dc2",
            ),
            Instance(
                node="n",
                id="a",
                address="10.0.0.1",
                port=80,
                tagged=(("lan", "x", 0), ("wan", "1.2.3.4", 1)),
                tags=("x", "on"),
                meta=(("a", "1"), ("k", "v")),
                weights=Weights(passing=3, warning=0),
                statuses=(Status.CRITICAL, Status.WARNING),
                node_meta=(("rack", "7"),),
                ports=(("http", 80), ("metrics", 9090)),
                created=12,
                datacenter="dc2",
                locality=Locality(region="r", zone="z", sub_zone="s"),
            ),
        ],
    )

    assert read(tmp_path, WHOLE) == Catalog.of("dc2", [expected, Service(name="on")])


def test_the_name_of_a_port_may_be_part_of_the_name_of_a_cluster(tmp_path):
    text = "services: {a: {instances: [{address: x, ports: {'a:b': 1}}]}}"

    with pytest.raises(CatalogFileError, match=r'"a:b" does not match'):
        read(tmp_path, text)


@pytest.mark.parametrize("status", list(Status))
def test_a_status_in_short_is_one_check(tmp_path, status):
    text = f"services: {{user: {{instances: [{{address: a, status: {status.value}}}]}}}}"

    (instance,) = read(tmp_path, text).services["user"].instances

    assert instance.statuses == (status,)


def test_hostile_data_is_kept_for_those_who_judge_it(tmp_path):
    text = r"""
services:
  user: {instances: [{address: "unix:///x\n", port: -70000, weights: {passing: -1}, tags: ["\r\nX: y"]}]}
  "a/../b": {instances: [{address: 10.0.0.1}]}
  "x\ny": {}
"""

    found = read(tmp_path, text)

    (instance,) = found.services["user"].instances
    assert (instance.address, instance.port, instance.weights.passing) == ("unix:///x\n", -70000, -1)
    assert [(problem.code, problem.source) for problem in found.problems] == [
        (Code.SERVICE_NAME, 'c.yaml service "a/../b" (line 4)'),
        (Code.SERVICE_NAME, r'c.yaml service "x\ny" (line 5)'),
    ]


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("", 0, "is empty; write `services: {}`"),
        ("# later\n", 0, "is empty"),
        ("datacenter: dc1", 1, "services: is required"),
        ("services: {}\ndatacenter: ''", 2, "datacenter: is empty"),
        ("services:\n  a: {instances: [{port: 1}]}", 2, "services.a.instances[0].address: is required"),
        ("services:\n  a: {instances: [{address: a, port: '1'}]}", 2, "expected a whole number"),
        ("services:\n  a: {instances: [{address: a, prot: 1}]}", 2, 'did you mean "port"?'),
        ("services:\n  a: {}\n  a: {}", 3, "services.a: is written twice, first on line 2"),
        (
            "services:\n  a: {instances: [{address: a, checks: [{id: b, status: c}], status: d}]}",
            2,
            "services.a.instances[0].status: stands beside checks; keep one",
        ),
        ("services: [", 2, "is not YAML"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(tmp_path, text, line, part):
    with pytest.raises(CatalogFileError) as caught:
        read(tmp_path, text)

    assert part in str(caught.value)
    assert caught.value.path == tmp_path / "c.yaml"
    assert caught.value.line == line
    assert caught.value.sentence in str(caught.value)


async def next_value(cell: Latest[Catalog], seen: Catalog | None) -> Catalog:
    async with asyncio.timeout(5):
        async for value in cell.values():
            if value is not seen:
                return value
    raise AssertionError


async def test_the_catalog_follows_its_file_and_survives_a_bad_one(tmp_path, caplog):
    caplog.set_level(logging.INFO, "xds_server")
    file = tmp_path / "c.yaml"
    file.write_text("services: {a: {}, b: {instances: [{address: 10.0.0.1}]}}")
    cell: Latest[Catalog] = Latest()
    task = asyncio.create_task(CatalogFileSource(file).run(cell))
    first = await next_value(cell, None)

    file.write_text("services: {a: {")
    async with asyncio.timeout(5):
        while "catalog.file_refused" not in caplog.text:  # noqa: ASYNC110 - a log cannot be awaited
            await asyncio.sleep(0.01)
    (tmp_path / "new").write_text("services: {b: {instances: [{address: 10.0.0.1}]}, c: {}}")
    (tmp_path / "new").replace(file)
    second = await next_value(cell, first)
    task.cancel()

    assert list(first.services) == ["a", "b"]
    assert list(second.services) == ["b", "c"]
    assert second.services["b"] is first.services["b"]
    refused = next(record for record in caplog.records if record.message == "catalog.file_refused")
    assert "c.yaml:2: is not YAML" in refused.fields["error"]


async def test_what_is_read_at_the_beginning_is_published_and_what_came_since_is_seen(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("services: {a: {}}")
    source, cell = CatalogFileSource(file), Latest[Catalog]()
    source.begin()
    file.write_text("services: {a: {}, b: {}}")
    task = asyncio.create_task(source.run(cell))
    first = await next_value(cell, None)
    second = await next_value(cell, first)
    task.cancel()
    assert [list(first.services), list(second.services)] == [["a"], ["a", "b"]]


def test_a_file_that_is_read_again_tells_what_is_new_in_it(tmp_path):
    file = tmp_path / "c.yaml"
    one = "{instances: [{address: 10.0.0.1}]}"
    file.write_text(f"services: {{a: {one}, b: {one}, c: {one}}}")
    first = read_catalog(file)
    file.write_text(f"services: {{a: {one}, b: {{}}, d: {one}}}")
    second = read_again(file, first)
    assert second.services == read_catalog(file).services
    assert second.services["a"] is first.services["a"]
    assert second.services.changed_between(first.services) == {"b", "c", "d"}


async def test_a_bad_file_at_the_start_is_an_error(tmp_path):
    with pytest.raises(CatalogFileError, match="does not exist"):
        await CatalogFileSource(tmp_path / "none.yaml").run(Latest())
