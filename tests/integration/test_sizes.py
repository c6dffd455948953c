"""Messages larger than most."""

import ssl
from dataclasses import replace

import pytest
import trustme

from tests.rig.eventually import eventually
from tests.rig.load import ask
from tests.rig.ports import free_port
from xds_server import telemetry
from xds_server.model.policy import DEFAULT_LISTENER, DownstreamTls
from xds_server.model.secret import Secret, Secrets

pytestmark = pytest.mark.integration

_EIGHT_MB = 8_000_000


@pytest.mark.shows("P-111", "T-LM-02")
async def test_an_envoy_takes_a_response_of_8_mb(near):
    authority, port = trustme.CA(), free_port()
    issued = authority.issue_cert("127.0.0.1")
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    # Between the certificates of a PEM file may stand any text.
    padding = (b"x" * 99 + b"\n") * (_EIGHT_MB // 100)
    edge = Secret(
        name="edge",
        certificate_chain=chain,
        private_key=issued.private_key_pem.bytes(),
        trusted_ca=padding + authority.cert_pem.bytes(),
    )
    near.inputs.secrets.publish(Secrets(by_name={"edge": edge}))
    tls = DownstreamTls(certificate="edge", client_ca="edge")
    near.rule(listeners=(replace(DEFAULT_LISTENER, address="127.0.0.1", port=port, tls=tls),))
    user = await near.upstream("user")
    near.feed(user=[user.port])
    before = sent(near)

    await near.start_envoy(live_within=20.0)

    assert sent(near) - before > _EIGHT_MB
    client = ssl.create_default_context()
    authority.configure_trust(client)
    authority.issue_cert("client").configure_cert(client)
    answer = await eventually(lambda: ask(f"https://127.0.0.1:{port}/", host="user", tls=client), within=10)
    assert answer.body == "user"
    assert await near.envoy.waits() == []


def sent(near):
    labels = {"variant": near.mode, "type": "Secret"}
    return telemetry.REGISTRY.get_sample_value("xds_response_bytes_total", labels) or 0.0
