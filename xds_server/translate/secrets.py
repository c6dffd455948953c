"""TLS material as SDS secrets: a certificate with its key is one, a CA bundle another."""

from collections.abc import Iterator

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import CertificateValidationContext, TlsCertificate
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret as EnvoySecret

from xds_server.model.secret import Secret
from xds_server.model.types import TypeUrl
from xds_server.translate import names
from xds_server.translate.packing import Draft, draft


def secrets(secret: Secret) -> Iterator[Draft]:
    """Give the one or two SDS secrets of a configured secret."""
    if secret.certificate_chain:
        certificate = TlsCertificate(
            certificate_chain=DataSource(inline_bytes=secret.certificate_chain),
            private_key=DataSource(inline_bytes=secret.private_key),
        )
        name = names.certificate(secret.name)
        yield draft(TypeUrl.SECRET, name, EnvoySecret(name=name, tls_certificate=certificate))
    if secret.trusted_ca:
        context = CertificateValidationContext(trusted_ca=DataSource(inline_bytes=secret.trusted_ca))
        name = names.trusted_ca(secret.name)
        yield draft(TypeUrl.SECRET, name, EnvoySecret(name=name, validation_context=context))
