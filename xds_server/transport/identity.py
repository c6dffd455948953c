"""Who a client is by its TLS certificate, and whether that is who its node says it is (P-116)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import grpc

from xds_server.transport.ending import refused

_CERTIFICATE: Final = "x509_pem_cert"
"""The key under which gRPC gives the peer's certificate: `grpc_auth_context` in gRPC core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a client's certificate says: the node ids it may claim, and until when (a Unix time)."""

    names: frozenset[str]
    expires: float

    @property
    def expiry(self) -> str:
        """The date of expiry as text: `2026-11-22 10:00:00 UTC`."""
        return datetime.fromtimestamp(self.expires, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def identity_of(context: Mapping[str, Sequence[bytes]]) -> Identity | None:
    """Read gRPC's authentication context of a stream; None where the client showed no certificate.

    gRPC has verified the certificate against the CA. Its own `x509_subject_alternative_name` mixes DNS
    names, URIs and addresses, so the certificate is read here: the names are the DNS and URI entries of
    Subject Alternative Name (RFC 5280, 4.2.1.6), and the last path segment of SPIFFE ids (spiffe://DOMAIN/PATH).

    Raises RefusedError where the certificate cannot be read: gRPC's library takes more than this one.
    """
    pem = context.get(_CERTIFICATE)
    if not pem:
        return None
    from xds_server.transport.certificate import read  # noqa: PLC0415 - most servers ask for no certificate

    try:
        names, expires = read(pem[0])
    except ValueError:
        sentence = "the client's certificate cannot be read; issue one that keeps to RFC 5280"
        raise refused(grpc.StatusCode.UNAUTHENTICATED, sentence) from None
    return Identity(names=names, expires=expires)


def mismatch(identity: Identity | None, node_id: str) -> str:
    """Say why a client may not call itself `node_id`; empty where it may."""
    if identity is None:
        return "the client showed no certificate, so its node.id cannot be trusted"
    if node_id not in identity.names:
        return (
            f"node.id {node_id!r} is none of the names of the client's certificate; give the node the id "
            f"that is a DNS or URI name of its certificate, or issue one that names it"
        )
    return ""
