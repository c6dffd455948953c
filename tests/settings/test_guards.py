import pytest

from xds_server.guard import GuardOptions
from xds_server.model.policy import LastEndpoint
from xds_server.settings import SettingsError, load, show

GUARDS = """
guards:
  lost_services: 10
  lost_endpoints: 20
  window: 30s
  hold: 1m
  last_endpoint_hold: 5s
  remove_clusters_after: never
defaults: {last_endpoint: hold}
services:
  user: {last_endpoint: keep}
"""


def settings(tmp_path, text):
    file = tmp_path / "xds-server.yaml"
    file.write_text(text)
    return load(flags={}, environ={}, file=file)


def test_every_key_is_read_and_shown(tmp_path):
    found = settings(tmp_path, GUARDS)
    assert found.guards == GuardOptions(
        lost_services=10,
        lost_endpoints=20,
        window=30.0,
        hold=60.0,
        last_endpoint_hold=5.0,
        remove_clusters_after=None,
    )
    assert found.policy.service("order").last_endpoint is LastEndpoint.HOLD
    assert found.policy.service("user").last_endpoint is LastEndpoint.KEEP
    assert show(found)["guards"] == {
        "lost_services": 10,
        "lost_endpoints": 20,
        "window": "30s",
        "hold": "60s",
        "last_endpoint_hold": "5s",
        "remove_clusters_after": "never",
    }


def test_the_defaults_are_those_of_the_guards(tmp_path):
    assert settings(tmp_path, "guards: {}").guards == GuardOptions()
    assert settings(tmp_path, "guards: {remove_clusters_after: 0s}").guards.remove_clusters_after == 0.0


def test_a_catalog_file_is_the_operators_own_word(tmp_path):
    assert settings(tmp_path, "catalog: catalog.yaml").guards.own_word


@pytest.mark.parametrize("text", ["lost_services: 101", "hold: soon", "remove_clusters_after: always"])
def test_what_cannot_be_is_refused(tmp_path, text):
    with pytest.raises(SettingsError):
        settings(tmp_path, f"guards: {{{text}}}")
