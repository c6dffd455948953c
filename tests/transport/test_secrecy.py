"""A private key reaches the proxy that asks for it, and shows nowhere else."""

import base64
import json
import logging

import pytest
from aiohttp.test_utils import TestClient, TestServer
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest

from tests.protocol.resources import SDS
from tests.rig.eventually import eventually
from tests.runtime.inputs import Inputs, catalog
from tests.transport.ads_client import METHODS, AdsClient
from tests.transport.serving import serving
from xds_server.admin import application
from xds_server.model.policy import Policy
from xds_server.model.proxy import Group
from xds_server.model.secret import Secret, Secrets, Token
from xds_server.protocol import DeltaMachine, SotwMachine
from xds_server.runtime.load import Loads
from xds_server.snapshot import EMPTY, build
from xds_server.telemetry import JsonFormatter, TextFormatter
from xds_server.translate import Translator
from xds_server.translate.packing import Draft
from xds_server.translate.render import to_dict, unpack

CANARY = b"canary-in-the-mine"
ENCODED = base64.b64encode(b"--" + CANARY)[4:-4]
SECRETS = Secrets(
    by_name={"edge": Secret(name="edge", certificate_chain=b"public", private_key=b"--" + CANARY)}
)


def shows(shown):
    """Tell whether a text holds the key, as it is, in base64 or in hex."""
    raw = shown if isinstance(shown, bytes) else shown.encode()
    return any(form in raw for form in (CANARY, ENCODED, CANARY.hex().encode()))


def built():
    translation = Translator(Group()).translate(catalog(user=8001), Policy(), SECRETS)
    return translation, build(translation.drafts, translation.problems, EMPTY)


def response(machine, request):
    machine.receive(request, 0.0)
    (made,) = machine.outbox(0.0)
    return made


def test_no_value_shows_it():
    translation, snapshot = built()
    resource = snapshot.resource(SDS, "edge")
    responses = [
        response(SotwMachine(snapshot, ""), DiscoveryRequest(type_url=SDS, resource_names=["edge"])),
        response(
            DeltaMachine(snapshot, ""), DeltaDiscoveryRequest(type_url=SDS, resource_names_subscribe=["edge"])
        ),
    ]
    draft = Draft(type=SDS, name="edge", packed=CANARY)
    assert all(shows(one.payload) for one in responses)
    assert shows(resource.packed)

    values = [
        SECRETS,
        SECRETS.by_name["edge"],
        Token(CANARY.decode()),
        draft,
        translation,
        resource,
        snapshot,
        snapshot.sets,
        snapshot.sets[SDS],
        snapshot.made,
        *responses,
    ]
    for value in values:
        for shown in (repr(value), str(value), f"{value}", f"{value!r}"):
            assert not shows(shown), type(value)


def test_what_is_rendered_hides_it():
    _, snapshot = built()
    message = unpack(SDS, snapshot.resource(SDS, "edge").packed)
    assert shows(message.SerializeToString())

    shown = json.dumps(to_dict(message))

    assert not shows(shown)
    assert base64.b64encode(b"[redacted]").decode() in shown
    # The message itself is left as it was.
    assert shows(message.SerializeToString())


@pytest.mark.parametrize("variant", METHODS)
async def test_neither_the_log_nor_the_admin_port_shows_it(variant, caplog):
    caplog.set_level(logging.DEBUG)
    inputs = Inputs(catalog(user=0))
    inputs.secrets.publish(SECRETS)
    async with serving(inputs) as server, AdsClient(server.port, variant) as client:
        await client.subscribe(SDS, "edge").expect(SDS, "edge").nack(SDS, "no good").expect_nothing()
        assert shows(client.received[0].SerializeToString())
        await eventually(lambda: any(record.message == "xds.nack" for record in caplog.records))
        app = application(inputs.pipeline, Loads())
        async with TestClient(TestServer(app)) as admin:
            pages = [
                await (await admin.get(path)).text() for path in ("/problems", "/metrics", "/readyz", "/load")
            ]

    lines = [form().format(record) for record in caplog.records for form in (JsonFormatter, TextFormatter)]
    assert len(lines) > 6
    assert "endpoint-port" in pages[0]
    for shown in [*lines, *pages, caplog.text]:
        assert not shows(shown)
