"""A client is who its certificate says, for as long as the certificate is valid."""

import time
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.protocol.resources import CDS
from tests.rig.eventually import eventually
from tests.rig.pem import Authority, key_pem
from tests.rig.xds_client import XdsStream
from tests.runtime.inputs import Inputs, catalog
from tests.transport.serving import serving
from xds_server.transport import StreamLimits, TlsFiles
from xds_server.transport.identity import identity_of, mismatch

CA = Authority()
DNS = x509.DNSName("edge-1")
URI = x509.UniformResourceIdentifier
SPIFFE = URI("spiffe://example.com/envoy/edge-1")
OPTIONS = [("grpc.ssl_target_name_override", "xds.test"), ("grpc.use_local_subchannel_pool", 1)]
STATUS = grpc.StatusCode


def issue(*names, seconds=3600.0):
    """Give a certificate with these names that is valid for so long, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edge-cn")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(CA.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(seconds=seconds))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(CA.key, hashes.SHA256()).public_bytes(Encoding.PEM), key_pem(key)


def identity(*names):
    return identity_of({"x509_pem_cert": [issue(*names)[0]], "x509_common_name": [b"edge-cn"]})


@pytest.mark.parametrize(
    ("certificate", "names"),
    [
        ((DNS,), {"edge-1"}),
        ((DNS, x509.DNSName("*.example.com")), {"edge-1", "*.example.com"}),
        ((SPIFFE,), {"spiffe://example.com/envoy/edge-1", "edge-1"}),
        ((URI("https://example.com/envoy/edge-1"),), {"https://example.com/envoy/edge-1"}),
        ((URI("spiffe://example.com"),), {"spiffe://example.com"}),
        ((URI("spiffe://example.com/"),), {"spiffe://example.com/"}),
        ((x509.RFC822Name("edge-1@example.com"),), set()),
        # A common name is no identity (RFC 6125, 6.4.4).
        ((), set()),
    ],
)
@pytest.mark.shows("P-116")
def test_what_a_client_may_call_itself(certificate, names):
    assert identity(*certificate).names == names


def test_a_client_without_a_certificate_is_nobody():
    assert identity_of({"transport_security_type": [b"insecure"]}) is None
    assert "showed no certificate" in mismatch(None, "edge-1")
    assert mismatch(identity(DNS), "edge-1") == ""
    assert mismatch(identity(DNS), "edge-2").startswith("node.id 'edge-2' is none of the names")


@pytest.fixture
def files(tmp_path):
    cert, key = CA.pair("xds.test")
    for name, data in (("xds.pem", cert), ("xds.key", key), ("ca.pem", CA.pem)):
        (tmp_path / name).write_bytes(data)
    paths = {"cert_file": "xds.pem", "key_file": "xds.key", "client_ca_file": "ca.pem"}
    return TlsFiles(**{name: str(tmp_path / file) for name, file in paths.items()})


def stream(server, *names, seconds=3600.0):
    cert, key = issue(*names, seconds=seconds)
    credentials = grpc.ssl_channel_credentials(CA.pem, key, cert)
    return XdsStream(("127.0.0.1", server.port), "delta", credentials=credentials, options=OPTIONS)


async def ask(one, node="edge-1"):
    await one.send(one.request(type_url=CDS, node=node))


@pytest.mark.parametrize("names", [(DNS,), (SPIFFE,)])
@pytest.mark.shows("P-116")
async def test_a_node_id_that_is_a_name_of_the_certificate_is_served_and_no_other(files, names):
    limits = StreamLimits(match_node_id=True)
    async with serving(Inputs(catalog(user=8001)), tls=files, limits=limits) as server:
        async with stream(server, *names) as mine:
            await ask(mine)
            assert (await mine.receive()).type_url == CDS
        async with stream(server, *names) as others:
            await ask(others, node="edge-2")
            code, said = await others.refusal()
            assert code is STATUS.PERMISSION_DENIED
            assert said.startswith("node.id 'edge-2' is none of the names of the client's certificate;")


@pytest.mark.shows("P-116")
async def test_a_node_id_is_what_the_client_says_unless_it_is_to_match(files):
    async with serving(Inputs(catalog(user=8001)), tls=files) as server, stream(server, DNS) as other:
        await ask(other, node="edge-2")
        assert (await other.receive()).type_url == CDS


@pytest.mark.shows("P-116")
async def test_a_stream_ends_when_the_certificate_of_its_client_expires(files):
    async with serving(Inputs(catalog(user=8001)), tls=files) as server:
        seconds = 3.0
        started = time.monotonic()
        async with stream(server, DNS, seconds=seconds) as one:
            await ask(one)
            assert (await one.receive()).type_url == CDS
            code, said = await one.refusal()
            assert code is STATUS.UNAUTHENTICATED
            assert said.startswith("the client's certificate expired on ")
            assert said.endswith(" UTC; connect again with a new one")
            # X.509 knows no fractions of a second.
            assert seconds - 1.5 < time.monotonic() - started < seconds + 2

            # On the same connection the same certificate opens nothing.
            await one.again()
            await ask(one)
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await one.receive()
            assert refusal.value.code() is STATUS.UNAUTHENTICATED
        assert server.fleet.sessions == ()
        async with stream(server, DNS) as new:
            await ask(new)
            assert (await new.receive()).type_url == CDS


@pytest.mark.shows("P-116")
async def test_a_connection_without_streams_makes_way_for_one_with_a_new_certificate(files):
    """Or else a client would show its old certificate for as long as its connection lives."""
    async with serving(Inputs(catalog(user=8001)), tls=files) as server, stream(server, DNS) as one:
        await ask(one)
        await one.receive()
        (first,) = server.fleet.sessions
        one.cancel()

        async def reconnected():
            await one.again()
            await ask(one)
            await one.receive()
            peers = {session.peer for session in server.fleet.sessions}
            one.cancel()
            return peers

        await eventually(reconnected, lambda peers: first.peer not in peers, within=20, every=2.5)
