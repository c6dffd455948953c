from pathlib import Path

import pytest

from xds_server.settings import SettingsError, load, show


@pytest.mark.parametrize(
    ("flag", "environ", "text", "expected", "origin"),
    [
        (None, {}, "", None, None),
        (None, {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, "", "/var/lib/a", "environment STATE_DIRECTORY"),
        (None, {"STATE_DIRECTORY": "/a"}, "state_dir: /b", "/b", "file x.yaml:1"),
        (None, {"STATE_DIRECTORY": "/a"}, "state_dir: off", None, None),
        (None, {"STATE_DIRECTORY": "/a", "XDS_STATE_DIR": "off"}, "", None, None),
        (None, {"XDS_STATE_DIR": "/c"}, "state_dir: /b", "/c", "environment XDS_STATE_DIR"),
        ("/d", {"XDS_STATE_DIR": "/c"}, "state_dir: /b", "/d", "flag --state-dir"),
        ("off", {"STATE_DIRECTORY": "/a"}, "state_dir: /b", None, None),
    ],
)
def test_where_the_state_is_kept(tmp_path, flag, environ, text, expected, origin):
    file = tmp_path / "x.yaml"
    file.write_text(text)

    settings = load(flags={"state_dir": flag}, environ=environ, file=file)

    assert settings.state_dir == (Path(expected) if expected else None)
    assert settings.origins.get("state_dir") == origin
    assert show(settings).get("state_dir") == expected


def test_a_path_in_the_file_is_relative_to_the_file(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("state_dir: state\nstate_max_age: 36h")

    settings = load(flags={}, environ={}, file=file)

    assert settings.state_dir == tmp_path / "state"
    assert settings.state_max_age == 36 * 3600


@pytest.mark.parametrize("age", ["1s", "10000h", "-1", "never"])
def test_an_age_without_sense_is_refused(tmp_path, age):
    file = tmp_path / "x.yaml"
    file.write_text(f"state_max_age: {age}")

    with pytest.raises(SettingsError, match="state_max_age"):
        load(flags={}, environ={}, file=file)
