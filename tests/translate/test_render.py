from envoy.config.core.v3.base_pb2 import DataSource
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import TlsCertificate, TlsSessionTicketKeys
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import GenericSecret
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret as EnvoySecret

from xds_server.model.secret import Secret
from xds_server.model.types import TypeUrl
from xds_server.translate.render import redacted, to_dict, unpack
from xds_server.translate.secrets import secrets


def test_a_private_key_is_hidden_and_the_message_stays_whole() -> None:
    (made,) = secrets(Secret(name="edge", certificate_chain=b"chain", private_key=b"hush"))
    message = unpack(TypeUrl.SECRET, made.packed)
    before = message.SerializeToString()

    shown = to_dict(message)

    assert shown["tls_certificate"]["private_key"] == {"inline_bytes": "W3JlZGFjdGVkXQ=="}  # [redacted]
    assert message.SerializeToString() == before
    assert b"hush" in before


def test_whatever_of_a_secret_is_sensitive_is_hidden_and_nothing_else() -> None:
    files = DataSource(filename="/etc/hush")
    certificate = TlsCertificate(certificate_chain=DataSource(inline_bytes=b"chain"), password=files)
    certificate.private_key.inline_string = "hush"
    tickets = TlsSessionTicketKeys(keys=[DataSource(inline_bytes=b"hush")])
    generic = GenericSecret(secret=DataSource(inline_bytes=b"hush"), secrets={"a": files})

    for message in (
        EnvoySecret(name="a", tls_certificate=certificate),
        EnvoySecret(name="a", session_ticket_keys=tickets),
        EnvoySecret(name="a", generic_secret=generic),
    ):
        assert b"hush" not in redacted(message).SerializeToString()
    assert redacted(EnvoySecret(tls_certificate=certificate)).tls_certificate.certificate_chain.inline_bytes
    assert redacted(certificate) is certificate
