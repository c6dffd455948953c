import asyncio
import ssl
import time

import aiohttp
import pytest
import trustme
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from tests.rig.eventually import eventually
from tests.runtime.inputs import Inputs, catalog
from tests.runtime.test_load import part, stats
from xds_server import __version__, telemetry
from xds_server.admin import AdminServer, Sources, application
from xds_server.model.standing import Standing, State
from xds_server.runtime.latest import Latest
from xds_server.runtime.load import Loads


def idle_application():
    """Nothing was read and nothing reported."""
    return application(Inputs().pipeline, Loads())


@pytest.fixture
async def inputs():
    made = Inputs()
    running = asyncio.create_task(made.pipeline.run())
    yield made
    running.cancel()


@pytest.fixture
def loads():
    return Loads()


@pytest.fixture
def standings():
    return Latest(())


@pytest.fixture
async def client(inputs, loads, standings):
    sources = Sources(believed=inputs.catalog, standings=standings)
    async with TestClient(TestServer(application(inputs.pipeline, loads, sources))) as made:
        yield made


async def test_healthz_is_ok_from_the_start(client):
    answer = await client.get("/healthz")

    assert (answer.status, await answer.text()) == (200, "ok\n")


async def test_readyz_follows_the_first_snapshot(client, inputs):
    before = await client.get("/readyz")
    assert (before.status, await before.text()) == (503, "not ready: the catalog was not read yet\n")

    inputs.catalog.publish(catalog(a=1))
    await inputs.pipeline.snapshot.get()

    after = await client.get("/readyz")
    assert (after.status, await after.text()) == (200, "ready\n")


def standing(source, state, reason=""):
    return Standing(source=source, state=state, reason=reason, since=1_795_356_310.2)


LIVE, STALE = standing("consul dc1", State.LIVE), standing("consul dc2", State.STALE, "Consul is down.")
SINCE = "2026-11-22T14:05:10Z"


@pytest.mark.parametrize(
    ("held", "text"),
    [
        ((LIVE,), "ready"),
        ((STALE,), f"ready (stale since {SINCE}: Consul is down.)"),
        ((LIVE, STALE), f"ready (consul dc2 stale since {SINCE}: Consul is down.)"),
    ],
)
async def test_readyz_is_200_with_any_catalog_and_says_what_is_not_live(
    client, inputs, standings, held, text
):
    standings.publish(held)
    inputs.catalog.publish(catalog(a=1))
    await inputs.pipeline.snapshot.get()

    answer = await client.get("/readyz")
    assert (answer.status, await answer.text()) == (200, f"{text}\n")


async def test_readyz_says_why_it_is_not_ready(client, standings):
    standings.publish((STALE,))

    answer = await client.get("/readyz")
    assert answer.status == 503
    assert await answer.text() == (
        f"not ready: the catalog was not read yet (stale since {SINCE}: Consul is down.)\n"
    )


async def test_readyz_in_full_has_a_line_for_each_source(client, standings):
    standings.publish((LIVE, STALE))

    text = await (await client.get("/readyz?verbose")).text()
    assert text.splitlines() == [
        "not ready: the catalog was not read yet",
        f"consul dc1 live since {SINCE}",
        f"consul dc2 stale since {SINCE}: Consul is down.",
    ]


async def test_state_is_that_of_each_source(client, inputs, standings):
    calm = {"held": 0, "holds": [], "operator": None}
    nothing = {"ready": False, "services": 0, "sources": []}
    assert await (await client.get("/state")).json() == {**nothing, **calm}

    standings.publish((STALE,))
    inputs.catalog.publish(catalog(a=1, b=2))
    await inputs.pipeline.snapshot.get()

    assert await (await client.get("/state")).json() == {
        **calm,
        "ready": True,
        "services": 2,
        "sources": [
            {
                "source": "consul dc2",
                "state": "stale",
                "reason": "Consul is down.",
                "since": 1_795_356_310.2,
            }
        ],
    }


async def test_the_metrics_tell_the_state_of_each_source(client, standings):
    async def samples():
        text = await (await client.get("/metrics")).text()
        return [line for line in text.splitlines() if line.startswith("xds_source_")]

    standings.publish((STALE,))
    assert await samples() == [
        'xds_source_state{source="consul dc2",state="live"} 0.0',
        'xds_source_state{source="consul dc2",state="stale"} 1.0',
        'xds_source_state{source="consul dc2",state="frozen"} 0.0',
        'xds_source_state_since_timestamp_seconds{source="consul dc2"} 1.7953563102e+09',
    ]
    standings.publish(())
    assert await samples() == []


async def test_metrics_are_those_of_the_registry(client):
    telemetry.BUILD_INFO.labels(__version__).set(1)
    answer = await client.get("/metrics")

    assert answer.content_type == "text/plain"
    families = {family.name: family for family in text_string_to_metric_families(await answer.text())}
    assert families["xds_build_info"].samples[0].labels == {"version": __version__}
    assert set(families) == {metric.name for metric in telemetry.REGISTRY.collect()}


async def test_the_metrics_count_problems_by_code(client, inputs):
    async def count(code):
        text = await (await client.get("/metrics")).text()
        return f'xds_problems{{code="{code}"}} 1.0' in text

    inputs.catalog.publish(catalog(a=0))
    await eventually(lambda: inputs.pipeline.problems)
    (problem,) = inputs.pipeline.problems
    assert await count(problem.code)

    inputs.catalog.publish(catalog(a=8001))
    await eventually(lambda: not inputs.pipeline.problems)
    assert not await count(problem.code)


async def test_problems_are_those_of_the_newest_snapshot(client, inputs):
    assert await (await client.get("/problems")).json() == {"problems": []}

    inputs.catalog.publish(catalog(a=0))
    await eventually(lambda: inputs.pipeline.problems)

    answer = await client.get("/problems")
    assert answer.content_type == "application/json"
    (problem,) = (await answer.json())["problems"]
    assert problem["code"] == "endpoint-port"
    assert problem.keys() == {"code", "source", "sentence", "index"}


@pytest.mark.shows("P-121")
async def test_load_is_what_clients_have_reported(client, loads):
    assert await (await client.get("/load")).json() == {"rows": [], "left_out": 0}

    now = time.time()
    loads.reporter("edge-1").report([stats("user", part("a", issued=5, good=3, bad=1, now=1))], now)

    assert await (await client.get("/load")).json() == {
        "rows": [
            {
                "client": "edge-1",
                "cluster": "user",
                "service": "user-eds",
                "region": "r",
                "zone": "a",
                "sub_zone": "",
                "issued": 5,
                "successful": 3,
                "error": 1,
                "dropped": 0,
                "in_progress": 1,
                "rate": 0.5,
                "since": now,
                "at": now,
            }
        ],
        "left_out": 0,
    }


@pytest.mark.parametrize("path", ["/", "/nothing", "/metrics/x", "/quitquitquit"])
async def test_there_is_nothing_else(client, path):
    assert (await client.get(path)).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/state", "/metrics", "/problems", "/load"])
async def test_it_only_reads(client, method, path):
    assert (await client.request(method, path)).status == 405


async def test_the_server_listens_until_it_is_stopped():
    server = AdminServer(idle_application())
    port = await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
            assert answer.status == 200
        await server.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"http://127.0.0.1:{port}/healthz")


async def test_a_port_that_is_taken_is_an_error():
    first, second = AdminServer(idle_application()), AdminServer(idle_application())
    port = await first.start("127.0.0.1", 0)
    with pytest.raises(OSError, match="address already in use"):
        await second.start("127.0.0.1", port)
    await second.stop()
    await first.stop()


async def test_it_speaks_tls_where_it_is_told_to():
    ca = trustme.CA()
    context, trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.configure_trust(trust)
    server = AdminServer(idle_application())
    port = await server.start("127.0.0.1", 0, context)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://127.0.0.1:{port}/healthz", ssl=trust) as answer,
    ):
        assert answer.status == 200
    await server.stop()
