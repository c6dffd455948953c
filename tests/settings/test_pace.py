import pytest

from xds_server.runtime.debounce import Pace
from xds_server.settings import SettingsError, load


def loaded(folder, text):
    file = folder / "x.yaml"
    file.write_text(text)
    return load(flags={}, environ={}, file=file)


def test_the_pace_is_given_or_has_a_default(tmp_path):
    assert loaded(tmp_path, "").pace == Pace(quiet=0.025, at_most=1.0)
    assert loaded(tmp_path, "pace: {quiet: 200ms, at_most: 2s}").pace == Pace(quiet=0.2, at_most=2.0)


def test_a_quiet_time_that_is_longer_than_the_bound_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"pace.quiet.* is longer than pace.at_most"):
        loaded(tmp_path, "pace: {quiet: 3s}")
