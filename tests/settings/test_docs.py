from pathlib import Path
from typing import Any

from xds_server.settings import json_schema

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def properties(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    found = []
    for owner, definition in [("", schema), *schema["$defs"].items()]:
        found += [(owner, key, value) for key, value in definition.get("properties", {}).items()]
    return found


def paths(schema: dict[str, Any], node: dict[str, Any], path: str) -> dict[str, str]:
    """Give the key path of every key of the file with its description."""
    found: dict[str, str] = {}
    for alternative in [node, *node.get("anyOf", [])]:
        if "$ref" in alternative:
            found |= paths(schema, schema["$defs"][alternative["$ref"].rpartition("/")[2]], path)
        if "items" in alternative:
            found |= paths(schema, alternative["items"], f"{path}[]")
        if isinstance(alternative.get("additionalProperties"), dict):
            found |= paths(schema, alternative["additionalProperties"], f"{path}.NAME")
        for key, value in alternative.get("properties", {}).items():
            here = f"{path}.{key}" if path else key
            found[here] = value["description"]
            if here != "services":  # the same keys as in defaults
                found |= paths(schema, value, here)
    return found


def test_every_key_of_the_schema_has_a_description():
    missing = [
        f"{owner}.{key}" for owner, key, value in properties(json_schema()) if not value.get("description")
    ]

    assert missing == []


def test_every_key_is_documented_with_its_description():
    schema = json_schema()
    page = PAGE.read_text()
    rows = {
        cells[1].strip().strip("`"): cells[3].strip()
        for cells in (line.split("|") for line in page.splitlines())
        if len(cells) > 4
    }
    headings = {line.lstrip("# ").strip("`") for line in page.splitlines() if line.startswith("#")}

    documented = paths(schema, schema, "")

    assert len(documented) > 90
    assert [key for key in documented if key not in rows and key not in headings] == []
    for key, meaning in rows.items():
        if key in documented:
            assert (
                meaning
                == documented[key]
                .partition(" Default:")[0]
                .partition(" Required.")[0]
                .partition(" Envoy:")[0]
            )


def test_the_page_tells_of_no_key_that_is_not_there():
    documented = paths(json_schema(), json_schema(), "")
    rows = [
        line.split("|")[1].strip().strip("`")
        for line in PAGE.read_text().splitlines()
        if line.startswith("| `")
    ]

    assert [key for key in rows if key[0].islower() and key not in documented] == []


def test_a_duration_may_be_text_or_a_number():
    schema = json_schema()

    assert schema["$defs"]["ServiceShape"]["properties"]["connect_timeout"]["type"] == ["number", "string"]
    assert schema["$defs"]["OutlierShape"]["properties"]["interval"]["pattern"]
