"""What a generated bootstrap guards an Envoy against, shown with real ones of every version there is."""

import json
import time

import pytest

from tests.cli.invoke import xds_server
from tests.rig.bare_server import BareServer
from tests.rig.envoy import Envoy, validate
from tests.rig.eventually import eventually

pytestmark = pytest.mark.integration

REFUSED = "attempts to reduce clusters below configured minimum"


@pytest.fixture(params=["delta", "sotw"])
async def bare(request):
    async with BareServer(delta=request.param == "delta") as server:
        yield server


@pytest.fixture
async def start(bare, tmp_path):
    """Start an Envoy of the bare server."""
    started = []

    async def make(**options):
        mode = "delta" if bare.delta else "sotw"
        envoy = Envoy(tmp_path, servers=[("127.0.0.1", bare.port)], mode=mode, **options)
        started.append(envoy)
        await envoy.start(live_within=None)
        return envoy

    yield make
    for envoy in started:
        await envoy.stop()


async def clusters(envoy):
    return set(await envoy.clusters()) - {"xds_cluster"}


async def test_an_empty_answer_of_any_server_takes_no_cluster_away(bare, start):
    envoy = await start(min_clusters=1)
    bare.tell({"a", "b"})
    await eventually(lambda: clusters(envoy), {"a", "b"}.__eq__, within=10.0)
    bare.tell(set())
    await eventually(lambda: bare.errors, within=10.0)
    assert REFUSED in bare.errors[-1]
    assert await clusters(envoy) == {"a", "b"}
    # It goes on with what is no loss.
    bare.tell({"a", "b", "c"})
    await eventually(lambda: clusters(envoy), lambda seen: "c" in seen, within=10.0)
    assert await envoy.ready() == "LIVE"


async def test_without_the_guard_they_are_gone(bare, start):
    envoy = await start(min_clusters=0)
    bare.tell({"a", "b"})
    await eventually(lambda: clusters(envoy), {"a", "b"}.__eq__, within=10.0)
    bare.tell(set())
    await eventually(lambda: clusters(envoy), set().__eq__, within=10.0)
    assert not bare.errors


async def test_an_envoy_that_never_had_a_cluster_is_live_all_the_same(bare, start):
    envoy = await start(min_clusters=1)
    bare.tell(set())
    await envoy.live()
    assert REFUSED in bare.errors[-1]
    bare.tell({"a"})
    await eventually(lambda: clusters(envoy), {"a"}.__eq__, within=10.0)


OPTIONS = [
    (),
    ("--mode", "sotw"),
    ("--min-clusters", "3"),
    ("--min-clusters", "0"),
    ("--xds", "127.0.0.1:18000", "--xds", "127.0.0.2:18000"),
    ("--xds", "localhost:18000", "--xds", "127.0.0.1:18001"),
    ("--load-stats", "--locality", "eu/eu-1", "--gateway", "ingress"),
]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
async def test_envoy_takes_every_bootstrap(tmp_path, options):
    result = xds_server("bootstrap", "--id", "edge-1", "--cluster", "edge", *options)
    file = tmp_path / "envoy.json"
    file.write_text(result.stdout)
    assert await validate(file) == ""


async def test_envoy_takes_the_bootstrap_of_last_resort(tmp_path):
    """The one that docs/break-glass.md has written by hand."""
    from tests.test_docs import ROOT  # noqa: PLC0415

    page = (ROOT / "docs" / "break-glass.md").read_text()
    file = tmp_path / "last-resort.yaml"
    # Envoy would wait for a name server that is not there.
    text = page.partition("```yaml\n")[2].partition("```")[0].replace("user.service.consul", "127.0.0.1")
    file.write_text(text.replace("STRICT_DNS", "STATIC"))
    assert await validate(file) == ""


@pytest.mark.slow
async def test_a_killed_server_is_found_again_within_its_longest_pause(delta_world, record_property):
    """A name in DNS with two addresses, and one of two replicas gone: the stream moves at once."""
    world = delta_world
    await world.instance("user")
    first = await world.start_server()
    second = await world.start_server(name="xds-server-2")
    # One replica by a name, as DNS gives it; the other by its address.
    await world.start_envoy(servers=[first.address, second.address], amend=by_name)
    active, other = (first, second) if await streams(first) else (second, first)
    async with world.load("user", workers=2, pause=0.01) as load:
        await load.more(20)
        killed = time.monotonic()
        await active.kill()
        await eventually(lambda: streams(other), (1.0).__eq__, within=2.0)
        record_property("converged_after_s", round(time.monotonic() - killed, 3))
        await other.kill()
        await load.more(100)
        await active.start()
        back = time.monotonic()
        await eventually(lambda: streams(active), (1.0).__eq__, within=12.0)
        record_property("reconnected_after_s", round(time.monotonic() - back, 3))
        await load.more(20)
    assert not load.failures
    record_property("requests", len(load.answers))
    record_property("failed", len(load.failures))


def by_name(config):
    """Let the xDS cluster look its servers up."""
    (cluster,) = config["static_resources"]["clusters"]
    cluster["type"] = "STRICT_DNS"
    text = json.dumps(cluster["load_assignment"]).replace('"127.0.0.1"', '"localhost"')
    cluster["load_assignment"] = json.loads(text)
    cluster["dns_lookup_family"] = "V4_ONLY"


async def streams(server):
    return (await server.metrics()).total("xds_streams")
