from pathlib import Path

import yaml

from xds_server.model.policy import HashKind, HashOn, Hostnames, LbPolicy, OnWarning
from xds_server.settings import Settings, load, show

TEXT = """
defaults: {on_warning: degraded, choices: 3}
services:
  web:
    lb_policy: ring_hash
    ring_size: {minimum: 2048}
    request_timeout: 1m
    hostnames: resolve
    hash_on:
      - {cookie: session, ttl: 1h30m, path: /shop, terminal: true}
      - {query: user}
  bare: {}
  user: {lb_policy: least_request, on_warning: weight, circuit_breakers: {max_requests: 1}, tls: false}
"""


def loaded(folder: Path, text: str) -> Settings:
    file = folder / "x.yaml"
    file.write_text(text)
    return load(flags={}, environ={}, file=file)


def test_balancing_health_and_host_names_are_read(tmp_path):
    policy = loaded(tmp_path, TEXT).policy

    web = policy.services["web"]
    assert (web.lb_policy, web.ring_size, web.request_timeout) == (LbPolicy.RING_HASH, (2048, None), 60.0)
    assert (web.hostnames, web.on_warning, web.choices) == (Hostnames.RESOLVE, OnWarning.DEGRADED, 3)
    assert web.hash_on == (
        HashOn(kind=HashKind.COOKIE, name="session", ttl=5400.0, path="/shop", terminal=True),
        HashOn(kind=HashKind.QUERY, name="user"),
    )
    assert policy.services["user"].on_warning is OnWarning.WEIGHT
    assert policy.defaults.hostnames is Hostnames.DROP


def test_what_is_shown_can_be_read_again(tmp_path):
    found = loaded(tmp_path, TEXT)

    again = loaded(tmp_path, yaml.safe_dump(show(found)))

    assert again.policy.services == found.policy.services
    assert show(found)["services"]["web"]["hash_on"][0]["ttl"] == "5400s"


def test_what_is_stated_for_a_service_is_what_its_own_mapping_sets(tmp_path):
    stated = loaded(tmp_path, TEXT).policy.stated

    assert stated == {
        "bare": frozenset(),
        "user": {"lb_policy", "on_warning", "circuit_breakers", "tls"},
        "web": {"lb_policy", "ring_size", "request_timeout", "hostnames", "hash_on"},
    }
