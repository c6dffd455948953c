"""Secrets from PEM files, checked as Envoy will not do it: it serves an expired certificate without a word.

Everything is parsed and written out anew, so line ends, comments and stray blocks never reach Envoy, and a
private key that stands in the certificate's file does not get into the certificate chain.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePrivateKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import Certificate, InvalidVersion, load_pem_x509_certificates

from xds_server.model.secret import Secret, SecretFiles
from xds_server.reading import UnreadableFileError, read_bounded

_LIMIT: Final = 64 * 1024
# A system's bundle of public CAs is larger than any certificate chain.
_CA_LIMIT: Final = 1024 * 1024
_LEAST_RSA_BITS: Final = 2048
_CURVES: Final = (SECP256R1, SECP384R1, SECP521R1)
_BOM: Final = b"\xef\xbb\xbf"

_Key: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey


class SecretError(Exception):
    """The files of a secret cannot be used; the text says why, without a byte of a key."""


def read_secret(files: SecretFiles, now: datetime) -> Secret:
    """Read and check the files of one secret.

    The key belongs to the first certificate, each certificate was issued by the next, and all are valid at
    `now`; a CA bundle has at least one certificate that is not expired. Raises `SecretError`.
    """
    chain = key = ca = b""
    if files.cert_file:
        certificates = _certificates(files.cert_file, _LIMIT)
        private_key = _private_key(files.key_file)
        _check_pair(certificates, private_key, files)
        _check_order(certificates, files.cert_file)
        for certificate in certificates:
            _check_dates(certificate, now, files.cert_file)
        chain = _pem(certificates)
        key = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if files.ca_file:
        bundle = _certificates(files.ca_file, _CA_LIMIT)
        if all(certificate.not_valid_after_utc < now for certificate in bundle):
            raise SecretError(f"every CA in {files.ca_file} has expired; renew it")
        ca = _pem(bundle)
    return Secret(name=files.name, certificate_chain=chain, private_key=key, trusted_ca=ca)


def expiry(secret: Secret) -> datetime | None:
    """Tell when the first certificate of a chain expires; None for a secret without one."""
    if not secret.certificate_chain:
        return None
    chain = load_pem_x509_certificates(secret.certificate_chain)
    return min(certificate.not_valid_after_utc for certificate in chain)


def _pem(certificates: Sequence[Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def _read(path: str, limit: int) -> bytes:
    try:
        data = read_bounded(Path(path), limit)
    except UnreadableFileError as error:
        raise SecretError(f"{path} {error}") from None
    return data.removeprefix(_BOM).replace(b"\r\n", b"\n") + b"\n"


def _certificates(path: str, limit: int) -> list[Certificate]:
    data = _read(path, limit)
    try:
        found = load_pem_x509_certificates(data)
        # Not all of a certificate is parsed before it is asked for.
        _ = [(one.not_valid_before_utc, one.not_valid_after_utc) for one in found]
    except (ValueError, InvalidVersion):
        raise SecretError(f"{path} holds no certificate in PEM form, or a damaged one") from None
    return found


def _private_key(path: str) -> _Key:
    """Read a private key of a kind that Envoy 1.40 was seen to load and shake hands with."""
    data = _read(path, _LIMIT)
    if b"ENCRYPTED" in data:
        raise SecretError(f"the private key in {path} is encrypted; write it without a passphrase")
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's own sentence may quote what it read.
        raise SecretError(f"{path} holds no private key in PEM form, or a damaged one") from None
    if isinstance(key, RSAPrivateKey) and key.key_size >= _LEAST_RSA_BITS:
        return key
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, _CURVES):
        return key
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise SecretError(
        f"the private key in {path} is of a kind that Envoy does not take; use RSA from {_LEAST_RSA_BITS} "
        "bits on, ECDSA on P-256, P-384 or P-521, or Ed25519"
    )


def _check_pair(chain: Sequence[Certificate], key: _Key, files: SecretFiles) -> None:
    public = key.public_key()
    try:
        matches = [certificate.public_key() == public for certificate in chain]
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SecretError(
            f"a certificate in {files.cert_file} has a public key that is damaged, or of an unknown kind"
        ) from None
    if matches[0]:
        return
    if any(matches):
        raise SecretError(
            f"{files.cert_file} does not begin with the certificate of the key; put the leaf first"
        )
    raise SecretError(f"the key in {files.key_file} does not belong to the certificate in {files.cert_file}")


def _check_order(chain: Sequence[Certificate], path: str) -> None:
    for position, (certificate, issuer) in enumerate(pairwise(chain), start=1):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            raise SecretError(
                f"certificate {position} in {path} was not issued by the next one; put the leaf first"
            ) from None


def _check_dates(certificate: Certificate, now: datetime, path: str) -> None:
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if last < now:
        raise SecretError(f"a certificate in {path} expired on {last:%Y-%m-%d %H:%M} UTC; renew it")
    if first > now:
        raise SecretError(f"a certificate in {path} is not valid before {first:%Y-%m-%d %H:%M} UTC")
