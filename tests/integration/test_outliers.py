import pytest

from tests.rig.eventually import eventually

pytestmark = pytest.mark.integration

SETTINGS = {"services": {"user": {"outlier_detection": {"interval": "1s", "base_ejection_time": "1s"}}}}


@pytest.mark.parametrize("joins_late", [False, True], ids=["from the start", "joined a moment before"])
async def test_an_instance_that_fails_is_ejected_and_serves_again_once_it_recovers(
    delta_world, joins_late, record_property
):
    await delta_world.instance("user", "user-1")
    await delta_world.instance("user", "user-2")
    bad = await delta_world.instance("user", "user-3", register=not joins_late)
    await delta_world.start(SETTINGS)
    await delta_world.serving("user", "user-1", "user-2", *(() if joins_late else ["user-3"]))
    async with delta_world.load("user", pause=0) as load:
        await load.more(200)
        bad.failing = True
        if joins_late:
            await delta_world.register("user", bad)
        await load.until(lambda: bool(load.failures))
        first = next(n for n, answer in enumerate(load.answers) if answer.status != 200)
        hosts = await eventually(
            lambda: delta_world.envoy.hosts("user"),
            lambda hosts: bad.address in hosts and hosts[bad.address].ejected,
        )
        assert sum(host.ejected for host in hosts.values()) == 1
        await load.more(first + 2000 - len(load.answers))
        failed = [answer for answer in load.answers[first : first + 2000] if answer.status != 200]
        assert len(failed) <= 20, f"{len(failed)} of 2000"
        record_property("failed of 2000", len(failed))
        bad.failing = False
        recovered = bad.requests
        await load.until(lambda: bad.requests > recovered + 20, within=15)
    assert len(load.failures) - len(failed) <= 20
    await delta_world.envoy.updates()
