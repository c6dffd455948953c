"""TLS contexts.

Certificates, keys and CAs travel by SDS alone, so a rotated one changes no listener and no cluster.
"""

from envoy.config.core.v3.base_pb2 import DataSource, TransportSocket
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateValidationContext,
    TlsCertificate,
    TlsParameters,
)
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import SubjectAltNameMatcher as SanMatcher
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    CommonTlsContext,
    DownstreamTlsContext,
    UpstreamTlsContext,
)
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue

from xds_server.model.policy import DownstreamTls, Protocol, UpstreamFiles, UpstreamTls
from xds_server.model.types import TypeUrl
from xds_server.translate import names
from xds_server.translate.packing import Reference, pack
from xds_server.translate.sources import sds

_PARAMETERS = TlsParameters(tls_minimum_protocol_version=TlsParameters.TLSv1_2)

# What a proxy offers an instance, by the instance's protocol; TCP negotiates nothing.
_UPSTREAM_ALPN = {
    Protocol.HTTP1: ("http/1.1",),
    Protocol.HTTP2: ("h2",),
    Protocol.GRPC: ("h2",),
    Protocol.TCP: (),
}


def upstream_references(tls: UpstreamTls | UpstreamFiles) -> tuple[Reference, ...]:
    """Name the SDS secrets an upstream TLS context needs."""
    if isinstance(tls, UpstreamFiles):
        return ()
    found = [Reference(TypeUrl.SECRET, names.trusted_ca(tls.ca))]
    if tls.certificate:
        found.append(Reference(TypeUrl.SECRET, names.certificate(tls.certificate)))
    return tuple(found)


def downstream_references(tls: DownstreamTls) -> tuple[Reference, ...]:
    """Name the SDS secrets a downstream TLS context needs."""
    found = [Reference(TypeUrl.SECRET, names.certificate(tls.certificate))]
    if tls.client_ca:
        found.append(Reference(TypeUrl.SECRET, names.trusted_ca(tls.client_ca)))
    return tuple(found)


def upstream_socket(tls: UpstreamTls | UpstreamFiles, protocol: Protocol) -> TransportSocket:
    """Make the transport socket of a cluster: a known CA and a matching name, always (CVE-2021-32574)."""
    if isinstance(tls, UpstreamFiles):
        return _socket_of_files(tls, protocol)
    common = CommonTlsContext(
        tls_params=_PARAMETERS,
        alpn_protocols=_UPSTREAM_ALPN[protocol],
        combined_validation_context=CommonTlsContext.CombinedCertificateValidationContext(
            default_validation_context=CertificateValidationContext(
                match_typed_subject_alt_names=_dns_names(tls.sans)
            ),
            validation_context_sds_secret_config=sds(names.trusted_ca(tls.ca)),
        ),
    )
    if tls.certificate:
        common.tls_certificate_sds_secret_configs.append(sds(names.certificate(tls.certificate)))
    return _socket(UpstreamTlsContext(common_tls_context=common, sni=tls.sni or tls.sans[0]))


def _socket_of_files(tls: UpstreamFiles, protocol: Protocol) -> TransportSocket:
    common = CommonTlsContext(
        tls_params=_PARAMETERS,
        alpn_protocols=_UPSTREAM_ALPN[protocol],
        validation_context=CertificateValidationContext(
            trusted_ca=DataSource(filename=tls.ca_file), match_typed_subject_alt_names=_dns_names((tls.sni,))
        ),
    )
    if tls.cert_file:
        pair = TlsCertificate(
            certificate_chain=DataSource(filename=tls.cert_file),
            private_key=DataSource(filename=tls.key_file),
        )
        common.tls_certificates.append(pair)
    return _socket(UpstreamTlsContext(common_tls_context=common, sni=tls.sni))


def _dns_names(names_: tuple[str, ...]) -> list[SanMatcher]:
    return [SanMatcher(san_type=SanMatcher.DNS, matcher=StringMatcher(exact=name)) for name in names_]


def downstream_socket(tls: DownstreamTls, *, alpn: tuple[str, ...]) -> TransportSocket:
    """Make the transport socket of a listener; with a client CA, a client certificate is required."""
    common = CommonTlsContext(
        tls_params=_PARAMETERS,
        alpn_protocols=alpn,
        tls_certificate_sds_secret_configs=[sds(names.certificate(tls.certificate))],
    )
    context = DownstreamTlsContext(common_tls_context=common)
    if tls.client_ca:
        common.validation_context_sds_secret_config.CopyFrom(sds(names.trusted_ca(tls.client_ca)))
        context = DownstreamTlsContext(
            common_tls_context=common, require_client_certificate=BoolValue(value=True)
        )
    return _socket(context)


def _socket(context: Message) -> TransportSocket:
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(context))
