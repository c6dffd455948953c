"""A second, independent implementation of the messages reads and writes a whole conversation."""

import warnings
from collections.abc import AsyncIterator

import grpc
import pytest

from tests.protocol.resources import CDS, EDS, LDS, RDS
from tests.runtime.inputs import Inputs, catalog
from tests.transport.ads_client import METHODS, SERVICE
from tests.transport.serving import serving

with warnings.catch_warnings():
    # It uses a feature of pydantic that pydantic wants to drop, which is not for us to mend.
    warnings.simplefilter("ignore")
    from envoy_data_plane.envoy.config.cluster.v3 import Cluster
    from envoy_data_plane.envoy.config.core.v3 import Node
    from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
    from envoy_data_plane.envoy.config.listener.v3 import Listener
    from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
    from envoy_data_plane.envoy.service.discovery.v3 import (
        DeltaDiscoveryRequest,
        DeltaDiscoveryResponse,
        DiscoveryRequest,
        DiscoveryResponse,
    )

MESSAGES = {CDS: Cluster, EDS: ClusterLoadAssignment, LDS: Listener, RDS: RouteConfiguration}
STEPS = [(CDS, []), (EDS, ["order", "user"]), (LDS, []), (RDS, ["default"])]


class Stream:
    """Requests and responses as that implementation has them."""

    def __init__(self, call, response):
        self._call = call
        self._response = response

    async def ask(self, request):
        await self._call.write(bytes(request))
        return self._response.parse(await self._call.read())

    async def say(self, request):
        await self._call.write(bytes(request))

    async def hear(self):
        return self._response.parse(await self._call.read())


@pytest.fixture
async def server() -> AsyncIterator[object]:
    async with serving(Inputs(catalog(user=8001, order=8002))) as running:
        yield running


def served(server):
    (session,) = server.fleet.sessions
    return session.machine.snapshot


def agrees(server, type_url, name, packed):
    """Compare with what is served: the very bytes, and that it can be read and written again."""
    resource = served(server).resource(type_url, name)
    assert bytes(packed) == resource.packed
    message = MESSAGES[type_url].parse(packed.value)
    assert MESSAGES[type_url].parse(bytes(message)) == message
    assert (message.cluster_name if type_url is EDS else message.name) == name
    return message


def ports(assignment):
    return [
        one.endpoint.address.socket_address.port_value
        for group in assignment.endpoints
        for one in group.lb_endpoints
    ]


@pytest.mark.shows("P-020", "P-067")
async def test_state_of_the_world(server):
    node = Node(id="second", cluster="edge")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stream = Stream(channel.stream_stream(SERVICE + METHODS["sotw"])(), DiscoveryResponse)
        latest = {}
        for type_url, names in STEPS:
            answer = await stream.ask(DiscoveryRequest(node=node, type_url=type_url, resource_names=names))
            assert answer.type_url == type_url
            assert answer.version_info == served(server).sets[type_url].version
            for packed in answer.resources:
                kind = MESSAGES[type_url].parse(packed.value)
                agrees(server, type_url, kind.cluster_name if type_url is EDS else kind.name, packed)
            assert len(answer.resources) == (2 if type_url in {CDS, EDS} else 1)
            latest[type_url] = answer
            ack = DiscoveryRequest(
                type_url=type_url,
                resource_names=names,
                version_info=answer.version_info,
                response_nonce=answer.nonce,
            )
            await stream.say(ack)

        server.inputs.catalog.publish(catalog(user=8009, order=8002))
        change = await stream.hear()

        assert (change.type_url, len(change.resources)) == (EDS, 1)
        assert change.version_info != latest[EDS].version_info
        assert ports(agrees(server, EDS, "user", change.resources[0])) == [8009]


@pytest.mark.shows("P-067", "P-070")
async def test_incremental(server):
    node = Node(id="second", cluster="edge")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stream = Stream(channel.stream_stream(SERVICE + METHODS["delta"])(), DeltaDiscoveryResponse)
        for type_url, names in STEPS:
            request = DeltaDiscoveryRequest(node=node, type_url=type_url, resource_names_subscribe=names)
            answer = await stream.ask(request)
            assert answer.type_url == type_url
            for resource in answer.resources:
                agrees(server, type_url, resource.name, resource.resource)
                assert resource.version == served(server).resource(type_url, resource.name).version
            assert len(answer.resources) == (2 if type_url in {CDS, EDS} else 1)
            await stream.say(DeltaDiscoveryRequest(type_url=type_url, response_nonce=answer.nonce))

        server.inputs.catalog.publish(catalog(user=8009))
        endpoints = await stream.hear()
        await stream.say(DeltaDiscoveryRequest(type_url=EDS, response_nonce=endpoints.nonce))
        routes = await stream.hear()
        await stream.say(DeltaDiscoveryRequest(type_url=RDS, response_nonce=routes.nonce))
        removal = await stream.hear()

        assert ports(agrees(server, EDS, "user", endpoints.resources[0].resource)) == [8009]
        assert (routes.type_url, [one.name for one in routes.resources]) == (RDS, ["default"])
        assert (removal.type_url, removal.resources, removal.removed_resources) == (CDS, [], ["order"])
