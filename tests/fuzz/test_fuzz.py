"""Every fuzzer for a moment, and every input that one of them once stumbled upon."""

from collections.abc import Iterator
from random import SystemRandom

import pytest

from tests.fuzz.target import SEEDS, Target, search
from tests.fuzz.targets import TARGETS

SECONDS = 2.0


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_nothing_is_found_in_a_moment(target: Target):
    assert search(target, SECONDS, SystemRandom()) > 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_thousand_catalogs_harm_nobody(record_property):
    """Of each tenth Envoy says whether it would load all that comes of it."""
    (target,) = (one for one in TARGETS if one.name == "resources")
    tried = 0
    while tried < 2000:
        tried += search(target, 20.0, SystemRandom())
    record_property("catalogs", tried)


def found() -> Iterator[object]:
    for target in TARGETS:
        for path in target.seeds():
            yield pytest.param(target, path, id=f"{target.name} {path.name}")


@pytest.mark.parametrize(("target", "path"), list(found()))
def test_what_was_found_stays_mended(target: Target, path):
    assert target.of_bytes is not None
    target.one(target.of_bytes(path.read_bytes()))


def test_every_seed_belongs_to_a_fuzzer():
    folders = {path.name for path in SEEDS.iterdir() if path.is_dir()}

    assert folders <= {target.name for target in TARGETS}


def test_a_fuzzer_can_fail():
    def refuse(data: bytes) -> None:
        assert b"\xff" not in data

    with pytest.raises(AssertionError):
        search(Target(name="any", inputs=TARGETS[0].inputs, one=refuse), 20.0, SystemRandom())
