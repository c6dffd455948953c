"""F-c: whatever a client sends is answered, or ends its stream with a sentence of ours."""

from collections.abc import Iterator
from functools import cache

from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest
from hypothesis import strategies as st

from tests.fuzz.mutation import mutated
from tests.fuzz.target import Target, contents
from tests.runtime.inputs import catalog
from xds_server.model.policy import Policy
from xds_server.model.proxy import Group
from xds_server.model.secret import Secret, Secrets
from xds_server.model.types import TypeUrl
from xds_server.protocol import ProtocolError
from xds_server.protocol.node import NodeError, proxy_of
from xds_server.snapshot import EMPTY, Snapshot, build
from xds_server.translate import Translator
from xds_server.transport.ending import RefusedError
from xds_server.transport.variant import DELTA, SOTW, Variant

KEY = b"canary-of-the-fuzzer"
_LARGEST = 1024 * 1024


@cache
def snapshot() -> Snapshot:
    material = Secrets(by_name={"edge": Secret(name="edge", certificate_chain=b"c", private_key=KEY)})
    made = Translator(Group()).translate(catalog(user=8001, order=8002), Policy(), material)
    return build(made.drafts, made.problems, EMPTY, made.derived)


def fuzz_one(messages: list[bytes]) -> None:
    for variant in (SOTW, DELTA):
        for only in (None, TypeUrl.CLUSTER):
            converse(variant, only, messages)


def converse(variant: Variant, only: TypeUrl | None, messages: list[bytes]) -> None:
    """Hand the messages to a stream as its transport does, until one of them ends it."""
    machine = None
    for at, message in enumerate(messages):
        try:
            node, request = variant.decode(message)
            if machine is None:
                proxy = proxy_of(node or Node(), delta=variant is DELTA)
                machine = variant.machine(snapshot(), "fuzz", client=proxy.group.client, only=only)
            machine.receive(request, float(at))
        except (RefusedError, NodeError, ProtocolError) as end:
            told(str(end))
            return
        for response in machine.outbox(float(at)):
            assert len(response.payload) < _LARGEST
            assert response.type == TypeUrl.SECRET or KEY not in response.payload


def told(sentence: str) -> None:
    """What a client is told names nothing of Python's, and shows nothing that could disturb a terminal."""
    assert sentence.isprintable(), sentence
    assert len(sentence) < 4000
    assert "Error" not in sentence
    assert "Traceback" not in sentence


def split(data: bytes) -> list[bytes]:
    """A seed is one message, or several with a line of dashes between them."""
    return data.split(b"\n----\n")


def _requests() -> Iterator[bytes]:
    node = Node(id="edge-1", cluster="edge", user_agent_name="envoy")
    node.metadata["envoy_admin_port"] = 9901
    grpc = Node(id="grpc-1", user_agent_name="gRPC C-core")
    for type_url in TypeUrl:
        for one in (node, grpc, Node()):
            yield DiscoveryRequest(node=one, type_url=type_url, resource_names=["user"]).SerializeToString()
            delta = DeltaDiscoveryRequest(node=one, type_url=type_url, resource_names_subscribe=["*", "user"])
            delta.initial_resource_versions["user"] = "x"
            delta.resource_names_unsubscribe.append("order")
            yield delta.SerializeToString()
    nack = DiscoveryRequest(type_url=TypeUrl.CLUSTER, response_nonce="1", version_info="x")
    nack.error_detail.message = "user: no good\r\n\x1b[31m"
    yield nack.SerializeToString()
    yield DeltaDiscoveryRequest(
        type_url=TypeUrl.CLUSTER, response_nonce="1", error_detail=nack.error_detail
    ).SerializeToString()


_SEEDS = [*_requests(), *(message for seed in contents("requests") for message in split(seed))]

TARGET = Target(
    name="requests",
    inputs=st.lists(mutated(_SEEDS), min_size=1, max_size=5),
    one=fuzz_one,
    of_bytes=split,
)
