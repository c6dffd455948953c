import asyncio

from tests.rig.eventually import eventually
from tests.rig.load import Load
from tests.rig.tls_edge import HOST, replace_pair, start_edge


def bad_pairs(authority):
    """Give each way in which a pair can be bad, with a word of the sentence that says so."""
    good, other = authority.pair(HOST), authority.pair(HOST)
    return {
        "mismatch": (good[0], other[1]),
        "garbage": (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", good[1]),
        "expired": authority.pair(HOST, days=(-30, -1)),
        "not yet valid": authority.pair(HOST, days=(1, 30)),
    }


async def test_f46_bad_certificate(delta_world, record_property):
    world = delta_world
    edge = await start_edge(world)
    serial = edge.rotate()
    await edge.shows(serial)
    async with (
        Load(edge.url, host=HOST, tls=edge.trust, fresh=True, workers=1, pause=0.01) as fresh,
        Load(edge.url, host=HOST, tls=edge.trust, workers=1, pause=0.01) as kept,
    ):
        for count, (certificate, key) in enumerate(bad_pairs(edge.authority).values(), start=1):
            (world.directory / "edge.key").write_bytes(key)
            (world.directory / "edge.pem").write_bytes(certificate)
            # Each is told for itself, and looked at when there is nothing more to come.
            refused = await eventually(
                lambda: world.server.events("secret.refused"),
                lambda said, n=count: len(said) >= n,
                within=10.0,
            )
            assert refused[-1]["secret"] == "edge-cert"
            # While snapshots are built, one of them may still tell of the pair before.
            (problem,) = await eventually(lambda: invalid(world), lambda found: len(found) == 1)
            assert "edge-cert" in problem["source"]
            await fresh.more(30)
            assert await edge.serial() == serial
        assert (await world.server.metrics()).total("xds_problems", code="secret-invalid") >= 1
        mended, started = edge.authority.pair(HOST), asyncio.get_running_loop().time()
        await edge.shows(replace_pair(world.directory, mended), within=5.0)
        record_property("converged_after_s", round(asyncio.get_running_loop().time() - started, 3))
        await eventually(lambda: invalid(world), lambda found: not found)
        await fresh.more(30)
    assert not fresh.failures
    assert not kept.failures
    await world.envoy.updates()
    assert "PRIVATE KEY" not in world.server.process.output
    record_property("requests", len(fresh.answers) + len(kept.answers))
    record_property("failed", len(fresh.failures) + len(kept.failures))


async def invalid(world):
    return [one for one in await world.server.problems() if one["code"] == "secret-invalid"]
