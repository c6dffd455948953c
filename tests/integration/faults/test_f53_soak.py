import pytest

from tests.process.soak import CLIENTS, soak

SECONDS = 60.0


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_f53_soak(tmp_path, record_property):
    """A minute of it; `make soak` runs it for longer, and tells the slope of memory."""
    samples = await soak(tmp_path, SECONDS, every=5.0)
    later = samples[len(samples) // 3 :]
    for name in ("memory", "files", "threads"):
        values = [getattr(one, name) for one in later]
        record_property(name, max(values))
        # A minute tells of a leak in leaps only: what stays at the same level wavers by less than this.
        assert values[-1] <= values[0] + {"memory": 8, "files": 20, "threads": 8}[name], (name, values)
    assert all(one.streams >= CLIENTS - 10 for one in later)
    assert later[-1].sent > later[0].sent
