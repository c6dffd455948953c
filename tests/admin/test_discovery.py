import asyncio
import io
import json

import pytest
from aiohttp.test_utils import TestClient, TestServer
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse
from google.protobuf.json_format import Parse

from tests.rig.eventually import eventually
from tests.runtime.inputs import Inputs, catalog
from xds_server.admin import application
from xds_server.admin.discovery import MAX_BODY
from xds_server.model.secret import Secret, Secrets
from xds_server.runtime.load import Loads

NODE = {"id": "edge-1", "cluster": "edge", "userAgentName": "envoy"}


@pytest.fixture
async def inputs():
    made = Inputs()
    running = asyncio.create_task(made.pipeline.run())
    yield made
    running.cancel()


@pytest.fixture
async def client(inputs):
    async with TestClient(TestServer(application(inputs.pipeline, Loads()))) as made:
        yield made


@pytest.fixture
async def served(inputs):
    inputs.catalog.publish(catalog(user=8080, order=8081))
    await inputs.pipeline.snapshot.get()
    return inputs


async def poll(client, kind, *names, version="", node=NODE, **more):
    """Give the status and, if there is one, the DiscoveryResponse."""
    body = {"node": node, "resourceNames": names, "version_info": version, **more}
    answer = await client.post(f"/v3/discovery:{kind}", json=body)
    if answer.status != 200:
        return answer.status, await answer.text()
    assert answer.content_type == "application/json"
    return 200, Parse(await answer.text(), DiscoveryResponse())


def names(response) -> set[str]:
    return {Cluster.FromString(one.value).name for one in response.resources}


@pytest.mark.shows("P-019", "T-CA-11")
async def test_a_poll_is_answered_until_the_client_has_everything(client, served):
    status, first = await poll(client, "clusters")
    assert (status, names(first)) == (200, {"user", "order"})

    assert await poll(client, "clusters", version=first.version_info) == (304, "")

    served.catalog.publish(catalog(user=8080))
    await eventually(lambda: len(served.pipeline.snapshot.value.sets[first.type_url].by_name), (1).__eq__)
    status, second = await poll(client, "clusters", version=first.version_info)
    assert (status, names(second)) == (200, {"user"})


@pytest.mark.shows("P-019")
@pytest.mark.parametrize(
    ("kind", "type_name", "count"),
    [
        ("clusters", "Cluster", 2),
        ("listeners", "Listener", 1),
        ("endpoints", "ClusterLoadAssignment", 0),
        ("routes", "RouteConfiguration", 0),
        ("scoped-routes", "ScopedRouteConfiguration", 0),
        ("runtime", "Runtime", 0),
        ("extension_configs", "TypedExtensionConfig", 0),
    ],
)
async def test_every_type_has_its_path(client, served, kind, type_name, count):
    status, response = await poll(client, kind)

    assert status == 200
    assert response.type_url.endswith(f".{type_name}")
    assert len(response.resources) == count
    assert response.version_info


async def test_named_endpoints_are_answered(client, served):
    _, response = await poll(client, "endpoints", "user", "nobody")

    found = [ClusterLoadAssignment.FromString(one.value) for one in response.resources]
    assert [one.cluster_name for one in found] == ["nobody", "user"]
    assert found[1].endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value == 8080
    assert not found[0].endpoints


@pytest.mark.shows("P-054")
async def test_a_client_is_answered_as_one_of_its_group(client, served):
    node = {**NODE, "metadata": {"envoy_admin_port": 8080}}
    _, plain = await poll(client, "endpoints", "user")
    _, with_admin_port = await poll(client, "endpoints", "user", node=node)

    counts = [
        len(ClusterLoadAssignment.FromString(one.resources[0].value).endpoints)
        for one in (plain, with_admin_port)
    ]
    assert counts == [1, 0]


async def test_a_poll_leaves_no_stream_behind(client, served):
    for number in range(200):
        status, _ = await poll(client, "clusters", node={**NODE, "userAgentVersion": str(number)})
        assert status == 200


@pytest.mark.shows("P-013")
async def test_before_the_first_sync_there_is_no_answer_rather_than_an_empty_one(client):
    status, sentence = await poll(client, "clusters")

    assert (status, sentence) == (503, "the catalog was not read yet; try again, or another server\n")


async def test_secrets_are_not_served_here(client, served):
    served.secrets.publish(
        Secrets(by_name={"edge": Secret(name="edge", certificate_chain=b"public", private_key=b"hush")})
    )
    await eventually(lambda: any(one.by_name for one in served.pipeline.snapshot.value.sets.values()))

    status, sentence = await poll(client, "secrets", "edge")

    assert status == 403
    assert sentence == ("secrets are not served here, as nobody is asked who they are; get them over gRPC\n")


@pytest.mark.parametrize("kind", ["nothing", "Clusters", "virtual-hosts", "clusters:", ""])
async def test_another_type_is_not_found(client, served, kind):
    status, _ = await poll(client, kind)

    assert status == 404


@pytest.mark.shows("P-117")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xff",
        b"[]",
        b"null",
        b'"text"',
        b'{"node": []}',
        b'{"node": "edge-1"}',
        b'{"node": {"id": 7}}',
        b'{"node": {"id": "a"}, "resource_names": "user"}',
        b'{"node": {"id": "a"}, "error_detail": {"details": [{"@type": "nonsense"}]}}',
        b'{"node": {"id": "a"}, "version_info": "\\ud800"}',
        b'{"node": {"metadata": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001 + b"}",
        b"[" * 100_000,
    ],
)
async def test_what_is_no_request_is_refused_with_a_sentence(client, served, body):
    answer = await client.post("/v3/discovery:clusters", data=body)

    assert answer.status == 400
    sentence = await answer.text()
    assert sentence.startswith("the body is not a DiscoveryRequest in JSON")
    assert len(sentence) < 400


@pytest.mark.shows("P-008")
@pytest.mark.parametrize("body", [{}, {"node": {}}, {"node": {"id": "x" * 513}}])
async def test_a_client_that_does_not_say_who_it_is_is_refused(client, served, body):
    answer = await client.post("/v3/discovery:clusters", json=body)

    assert answer.status == 400
    assert "node.id" in await answer.text()


async def test_a_request_for_another_type_than_its_path_is_refused(client, served):
    status, sentence = await poll(
        client, "clusters", type_url="type.googleapis.com/envoy.config.listener.v3.Listener"
    )

    assert status == 400
    assert "this is where Cluster is" in sentence


@pytest.mark.shows("P-117")
async def test_a_body_that_is_too_large_is_refused(client, served):
    answer = await client.post("/v3/discovery:clusters", data=io.BytesIO(b" " * (MAX_BODY + 1)))

    assert answer.status == 413


@pytest.mark.shows("P-017")
async def test_fields_from_the_future_are_passed_over(client, served):
    status, _ = await poll(client, "clusters", from_the_future={"a": 1})

    assert status == 200


async def test_the_extensions_of_a_node_are_not_read(client, served):
    status, _ = await poll(client, "clusters", node={**NODE, "extensions": "no list at all"})

    assert status == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_only_post_is_answered(client, served, method):
    answer = await client.request(method, "/v3/discovery:clusters", data=json.dumps({"node": NODE}))

    assert answer.status == 405
