import ssl

import aiohttp
import pytest
import trustme
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from tests.protocol.resources import service, snapshot
from xds_server import __version__, telemetry
from xds_server.admin import AdminServer, application
from xds_server.model.problem import Code, Problem
from xds_server.snapshot import EMPTY, build

PROBLEM = Problem(code=Code.ENDPOINT_PORT, source='service "a\n<b>"', sentence="it is wrong", index=17)


class Held:
    """What the pipeline holds."""

    snapshots = ()


@pytest.fixture
def held():
    return Held()


@pytest.fixture
async def client(held):
    async with TestClient(TestServer(application(lambda: held.snapshots))) as made:
        yield made


async def test_healthz_is_ok_from_the_start(client):
    answer = await client.get("/healthz")

    assert (answer.status, await answer.text()) == (200, "ok\n")


async def test_readyz_follows_the_first_snapshot(client, held):
    before = await client.get("/readyz")
    assert (before.status, await before.text()) == (503, "not ready: the catalog was not read yet\n")

    held.snapshots = (snapshot(service("a")),)

    after = await client.get("/readyz")
    assert (after.status, await after.text()) == (200, "ready\n")


async def test_metrics_are_those_of_the_registry(client):
    telemetry.BUILD_INFO.labels(__version__).set(1)
    answer = await client.get("/metrics")

    assert answer.content_type == "text/plain"
    families = {family.name: family for family in text_string_to_metric_families(await answer.text())}
    assert families["xds_build_info"].samples[0].labels == {"version": __version__}
    assert set(families) == {metric.name for metric in telemetry.REGISTRY.collect()}


async def test_problems_are_those_of_the_newest_snapshot(client, held):
    assert await (await client.get("/problems")).json() == {"problems": []}

    held.snapshots = (build({}, [PROBLEM], EMPTY), snapshot(service("a")))

    answer = await client.get("/problems")
    assert answer.content_type == "application/json"
    assert await answer.json() == {
        "problems": [
            {"code": "endpoint-port", "source": PROBLEM.source, "sentence": "it is wrong", "index": 17}
        ]
    }


@pytest.mark.parametrize("path", ["/", "/nothing", "/metrics/x", "/quitquitquit"])
async def test_there_is_nothing_else(client, path):
    assert (await client.get(path)).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/problems"])
async def test_it_only_reads(client, method, path):
    assert (await client.request(method, path)).status == 405


async def test_the_server_listens_until_it_is_stopped():
    server = AdminServer(application(tuple))
    port = await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
            assert answer.status == 200
        await server.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"http://127.0.0.1:{port}/healthz")


async def test_a_port_that_is_taken_is_an_error():
    first, second = AdminServer(application(tuple)), AdminServer(application(tuple))
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
    server = AdminServer(application(tuple))
    port = await server.start("127.0.0.1", 0, context)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://127.0.0.1:{port}/healthz", ssl=trust) as answer,
    ):
        assert answer.status == 200
    await server.stop()
