from pathlib import Path

import pytest

from tests.settings.test_mistakes import complaints, load_text
from tests.translate.words.registrations import of_meta
from xds_server.model.policy import Claim, Dialect, Expose, Registrations, WeightedService
from xds_server.settings import load, show
from xds_server.translate import words

WHOLE = """
registrations:
  expose: tagged
  claims:
    - hosts: [shop.example.com, "*.shop.example.com"]
      path_prefix: /api
      services: [shop, cart]
    - hosts: ["*"]
      services: ["*"]
  dialects: [traefik, fabio]
"""


def test_without_a_word_nothing_can_be_claimed():
    assert load(flags={}, environ={}, file=None).policy.registrations == Registrations()
    assert Registrations() == Registrations(expose=Expose.ALL, claims=(), dialects=frozenset())


def test_what_services_may_decide(tmp_path):
    found = load_text(tmp_path, WHOLE).policy.registrations

    assert found == Registrations(
        expose=Expose.TAGGED,
        claims=(
            Claim(
                hosts=("shop.example.com", "*.shop.example.com"),
                path_prefix="/api",
                services=("shop", "cart"),
            ),
            Claim(hosts=("*",), services=("*",)),
        ),
        dialects=frozenset(Dialect),
    )


def test_the_settings_in_force_show_it_as_the_file_writes_it(tmp_path):
    settings = load_text(tmp_path, WHOLE)

    shown = show(settings)["registrations"]

    assert shown["claims"][0]["path_prefix"] == "/api"
    assert shown["dialects"] == ["fabio", "traefik"]
    again = tmp_path / "again"
    again.mkdir()
    assert load_text(again, f"registrations: {shown}").policy.registrations == settings.policy.registrations
    assert settings.origins["registrations.expose"] == "file x.yaml:3"


MISTAKES = [
    ("registrations: {expose: some}", '"some" is not known; use one of all, tagged'),
    (
        "registrations: {dialects: [fabo]}",
        'registrations.dialects[0]: "fabo" is not known; did you mean "fabio"?',
    ),
    ("registrations: {dialects: fabio}", "registrations.dialects: expected a list"),
    ("registrations: {claims: [{hosts: [a.com]}]}", "registrations.claims[0].services: is required"),
    ("registrations: {claims: [{services: [a]}]}", "registrations.claims[0].hosts: is required"),
    ("registrations: {claims: [{hosts: [], services: [a]}]}", "claims[0].hosts: is empty"),
    (
        "registrations: {claims: [{hosts: [A.com], services: [a]}]}",
        'claims[0].hosts[0]: "A.com" must be in lower case',
    ),
    (
        "registrations: {claims: [{hosts: ['a:80'], services: [a]}]}",
        'claims[0].hosts[0]: "a:80" must not have a port',
    ),
    ("registrations: {claims: [{hosts: ['**'], services: [a]}]}", 'claims[0].hosts[0]: "**" is not a host'),
    (
        "registrations: {claims: [{hosts: [a], services: ['a/b']}]}",
        'claims[0].services[0]: "a/b" cannot be the name of a service; use * for any',
    ),
    (
        "registrations: {claims: [{hosts: [a], services: [a], path_prefix: api}]}",
        'claims[0].path_prefix: "api" must begin with /',
    ),
    ("registrations: {claims: [{host: a}]}", 'claims[0].host: is not a key here; did you mean "hosts"?'),
]


@pytest.mark.parametrize(("text", "part"), MISTAKES, ids=[text for text, _ in MISTAKES])
def test_a_mistake_is_named_with_line_and_key(tmp_path, text, part):
    found = complaints(tmp_path, text)

    assert any(finding.startswith("x.yaml:1: ") and part in finding for finding in found), found


def targets(folder: Path, text: str) -> tuple[WeightedService, ...]:
    file = f"listeners: [{{name: e, address: '0.0.0.0:80', routes: [{{{text}}}]}}]"
    return load_text(folder, file).policy.listeners[1].routes[0].targets


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("service: user", WeightedService(service="user")),
        ("service: user@v2", WeightedService(service="user", subset="v2")),
        ("service: 'user:metrics'", WeightedService(service="user", port="metrics")),
        ("service: 'user@v2:metrics'", WeightedService(service="user", subset="v2", port="metrics")),
    ],
)
def test_a_target_may_be_a_part_of_a_service(tmp_path, text, found):
    assert targets(tmp_path, text) == (found,)


def test_a_split_may_be_between_parts_of_one_service_and_is_shown_so(tmp_path):
    text = "split: {user: 90, user@v2: 10}"
    found = (
        WeightedService(service="user", weight=90),
        WeightedService(service="user", weight=10, subset="v2"),
    )

    assert targets(tmp_path, text) == found
    shown = show(
        load_text(tmp_path, f"listeners: [{{name: e, address: '0.0.0.0:80', routes: [{{{text}}}]}}]")
    )
    assert shown["listeners"][0]["routes"][0]["split"] == {"user": 90, "user@v2": 10}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("service: user@", '"user@" cannot be the name of a service'),
        ("service: '@v2'", '"@v2" cannot be the name of a service'),
        ("service: user@v2@v3", '"user@v2@v3" cannot be the name of a service'),
        ("service: user@V2", 'service: "V2" cannot name a subset'),
        ("service: 'user:a b'", 'service: "a b" cannot name a port'),
        ("split: {user: 1, user@.: 1}", 'split["user@."]: "." cannot name a subset'),
    ],
)
def test_a_target_that_is_none(tmp_path, text, part):
    file = f"listeners: [{{name: e, address: '0.0.0.0:80', routes: [{{{text}}}]}}]"

    assert any(part in finding for finding in complaints(tmp_path, file))


def test_a_claim_of_the_settings_grants_what_a_service_asks_for(tmp_path):
    registrations = load_text(tmp_path, WHOLE).policy.registrations
    wishes = {"shop": of_meta({"xds-route": "a.shop.example.com/api/x"}).wishes}

    assert words.grant(wishes, registrations, {}).problems == ()
