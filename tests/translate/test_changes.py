"""Whatever happens to a catalog, a translator that goes on from what it made gives what a new one gives."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

import pytest

from tests.rig.catalogs import POLICY, SECRETS, catalog, instance, service
from xds_server.model.catalog import Catalog, Instance, Service
from xds_server.model.entries import ConfigEntries, IngressGateway, IngressListener, IngressService
from xds_server.model.policy import Policy
from xds_server.model.proxy import Client, Group
from xds_server.model.types import TypeUrl
from xds_server.snapshot import EMPTY, build
from xds_server.translate import Translation, Translator, meaning
from xds_server.translate.understanding import Understanding

NAMES: Final = ("cart", "Cart", "db", "greeter", "order", "user", "web")
GROUPS: Final = (
    Group(),
    Group(static_clusters=("xds_cluster", "order")),
    Group(on_demand=True),
    Group(client=Client.GRPC),
    Group(gateway="gate"),
)
PORTS: Final = (8001, 8002, 8003, 0, 8500)
"""The last two may not be used, and are problems."""

GATE: Final = IngressGateway(
    name="gate",
    listeners=(
        IngressListener(port=8080, protocol="http", services=(IngressService(name="user"),), tls=False),
    ),
)


def _instance(random: Random, name: str, number: int) -> Instance:
    one = instance(f"{name}-{number}", port=random.choice(PORTS))
    if random.random() < 0.2:
        meta = random.choice([("xds-subset", "blue"), ("xds-timeout", "3s"), ("xds-enabled", "false")])
        one = replace(one, meta=(meta,))
    return one


def _service(random: Random, name: str) -> Service:
    instances = [_instance(random, name, number) for number in range(random.randint(1, 3))]
    return replace(Service.of(name, instances), departed=random.random() < 0.1)


def _replaced(random: Random, before: Catalog) -> Catalog:
    name = random.choice(NAMES)
    return replace(before, services=before.services.changed({name: _service(random, name)}))


def _moved(random: Random, before: Catalog) -> Catalog:
    """Other ports, and nothing else."""
    if not before.services:
        return before
    old = before.services[random.choice(list(before.services))]
    moved = replace(old, instances=tuple(replace(one, port=random.choice(PORTS)) for one in old.instances))
    return replace(before, services=before.services.changed({old.name: moved}))


def _removed(random: Random, before: Catalog) -> Catalog:
    return replace(before, services=before.services.changed({random.choice(NAMES): None}))


def _other_entries(random: Random, before: Catalog) -> Catalog:
    return replace(before, entries=ConfigEntries(gateways={"gate": GATE} if random.random() < 0.7 else {}))


def _cut_off(random: Random, before: Catalog) -> Catalog:
    return replace(before, lost=frozenset(random.choice([["dc2"], []])))


CHANGES: Final[tuple[Callable[[Random, Catalog], Catalog], ...]] = (
    *(_moved,) * 4,
    *(_replaced,) * 3,
    _removed,
    _other_entries,
    _cut_off,
)


@pytest.mark.parametrize("seed", range(6))
def test_going_on_gives_what_a_new_start_gives(seed: int) -> None:
    random = Random(seed)  # noqa: S311 - made up histories
    shared = Understanding()
    translators = {group: Translator(group, shared) for group in GROUPS}
    snapshots = dict.fromkeys(GROUPS, EMPTY)
    now = catalog(*(_service(random, name) for name in NAMES))
    for _ in range(14):
        now = random.choice(CHANGES)(random, now)
        # Not every group is built for every catalog.
        for group in random.sample(GROUPS, 4):
            made = translators[group].translate(now, POLICY, SECRETS)
            fresh = Translator(group).translate(now, POLICY, SECRETS)
            assert _plain(made) == _plain(fresh), group
            snapshots[group] = build(made.drafts, made.problems, snapshots[group], made.derived)
            first = build(fresh.drafts, fresh.problems, EMPTY, fresh.derived)
            for type_url in TypeUrl:
                mine, other = snapshots[group].sets[type_url], first.sets[type_url]
                assert mine.version == other.version
                assert list(mine.wildcard) == list(other.wildcard)
            assert snapshots[group].problems == first.problems


def _plain(translation: Translation) -> object:
    drafts = {
        type_url: [(one.name, one.packed, one.on_demand) for one in table.values()]
        for type_url, table in translation.drafts.items()
    }
    return drafts, translation.problems


@pytest.mark.parametrize("group", [Group(), Group(static_clusters=("xds_cluster",))])
def test_a_plain_service_comes_changes_and_goes_without_a_look_at_the_others(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator, policy = Translator(group), Policy()
    before = catalog(*(service(f"s{number}") for number in range(30)))
    first = translator.translate(before, policy, SECRETS)
    asked: list[str] = []
    meaning_of = meaning.plain

    def noted(name: str, *inputs: object) -> object:
        asked.append(name)
        return meaning_of(name, *inputs)

    more = replace(before, services=before.services.changed({"new": service("new")}))
    with monkeypatch.context() as patch:
        patch.setattr(Translator, "_everything", None)
        patch.setattr(meaning, "plain", noted)
        second = translator.translate(more, policy, SECRETS)
        third = translator.translate(before, policy, SECRETS)

    assert asked == ["new"]
    assert _plain(second) == _plain(Translator(group).translate(more, policy, SECRETS))
    assert _plain(third) == _plain(first)
    kept = first.drafts[TypeUrl.ROUTES].changed_between(second.drafts[TypeUrl.ROUTES])
    assert kept == (set() if group.static_clusters else {"default"})


def test_one_changed_instance_costs_its_own_endpoints_only(monkeypatch: pytest.MonkeyPatch) -> None:
    translator = Translator(Group())
    before = catalog(*(service(f"s{number}") for number in range(30)))
    policy = Policy()
    first = translator.translate(before, policy, SECRETS)

    def everything(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Translator, "_everything", everything)
    moved = service("s7", instance(port=9999))
    second = translator.translate(
        replace(before, services=before.services.changed({"s7": moved})), policy, SECRETS
    )
    changed = {
        type_url: names
        for type_url, table in second.drafts.items()
        if (names := table.changed_between(first.drafts[type_url]))
    }
    assert changed == {TypeUrl.ENDPOINTS: {"s7"}}
