import json
import re
from pathlib import Path

import pytest

from tests.rig.static_bootstrap import ask_envoy, static_bootstrap
from tests.rig.story import (
    GOLDEN,
    SHEETS,
    GoldenError,
    Rendered,
    client,
    compare,
    expected,
    explain,
    remove_orphans,
    run_story,
    stories,
    strays,
    update,
)
from xds_server.model.proxy import Client

each_story = pytest.mark.parametrize("story", stories())
each_story_of_envoys = pytest.mark.parametrize(
    "story", [story for story in stories() if client(GOLDEN / story) is Client.ENVOY]
)


def rendered(story: str, workplace: Path) -> Rendered:
    return run_story(GOLDEN / story, workplace)


@each_story
def test_a_story_leads_to_what_it_should(story: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    sheets = rendered(story, tmp_path).sheets
    if request.config.getoption("--update-golden"):
        update(GOLDEN / story, sheets)
    differences = [found for sheet in SHEETS if (found := compare(GOLDEN / story, sheet, sheets[sheet]))]
    if differences:
        pytest.fail(explain(differences), pytrace=False)


@each_story_of_envoys
def test_envoy_takes_a_story(story: str, tmp_path: Path) -> None:
    answer = ask_envoy(static_bootstrap(rendered(story, tmp_path).snapshot), tmp_path)

    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "deprecated" not in answer.stderr.lower(), answer.stderr


@each_story
def test_a_story_says_in_one_sentence_what_it_teaches(story: str) -> None:
    text = (GOLDEN / story / "why.md").read_text()
    assert re.fullmatch(r"[A-Z`][^\n]+\.\n", text)


def test_every_file_belongs_to_a_story(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        remove_orphans()
    assert strays() == []


# --- the runner itself must be able to fail ------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> tuple[Path, Rendered]:
    """A story of its own to spoil, with everything in it as it should be."""
    folder = tmp_path / "story"
    folder.mkdir()
    (folder / "catalog.yaml").write_text("services: {user: {instances: [{address: 10.0.0.1, port: 8080}]}}\n")
    result = run_story(folder, tmp_path / "run")
    update(folder, result.sheets)
    return folder, result


def test_a_wrong_port_shows_as_two_lines(copy: tuple[Path, Rendered]) -> None:
    folder, result = copy
    file = folder / "endpoints.yaml"
    file.write_text(file.read_text().replace("8080", "8081"))

    difference = compare(folder, "endpoints", result.sheets["endpoints"])

    changed = [line.split() for line in difference.splitlines()[2:] if line[0] in "+-"]
    assert changed == [["-", "port_value:", "8081"], ["+", "port_value:", "8080"]]


def test_an_unknown_field_is_refused(copy: tuple[Path, Rendered]) -> None:
    folder, _ = copy
    (folder / "clusters.yaml").write_text("- {name: user, conect_timeout: 5s}\n")

    with pytest.raises(GoldenError, match="conect_timeout"):
        expected(folder, "clusters")


def test_keys_may_be_in_any_order_and_defaults_may_be_written(copy: tuple[Path, Rendered]) -> None:
    folder, result = copy
    (folder / "endpoints.yaml").write_text(
        """
        - endpoints:
          - load_balancing_weight: 1
            priority: 0
            locality: {}
            lb_endpoints:
            - load_balancing_weight: 1
              health_status: HEALTHY
              endpoint: {address: {socket_address: {port_value: 8080, address: 10.0.0.1, protocol: TCP}}}
          cluster_name: user
        """
    )

    assert compare(folder, "endpoints", result.sheets["endpoints"]) == ""


def test_what_is_not_written_must_be_empty(copy: tuple[Path, Rendered]) -> None:
    folder, result = copy
    (folder / "routes.yaml").unlink()

    assert "service-by-name" in compare(folder, "routes", result.sheets["routes"])


def test_an_update_leaves_alone_what_is_right_already(copy: tuple[Path, Rendered]) -> None:
    folder, result = copy
    file = folder / "clusters.yaml"
    by_hand = "# by hand\n" + file.read_text()
    file.write_text(by_hand)
    (folder / "problems.yaml").write_text("- {code: x, source: x, sentence: x}\n")

    update(folder, result.sheets)

    assert file.read_text() == by_hand
    assert not (folder / "problems.yaml").exists()


def test_envoy_refuses_a_route_to_nowhere(tmp_path: Path) -> None:
    config = json.loads(static_bootstrap(rendered("grpc", tmp_path).snapshot))
    config["static_resources"]["clusters"].clear()

    answer = ask_envoy(json.dumps(config), tmp_path)

    assert answer.returncode != 0
    assert "unknown cluster 'greeter'" in answer.stdout + answer.stderr
