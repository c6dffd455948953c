"""What a client's certificate says of it. Apart from `identity`: what it needs is slow to import."""

from cryptography import x509


def read(pem: bytes) -> tuple[frozenset[str], float]:
    """Give the names of a certificate, and until when it is valid (a Unix time).

    The names are the DNS and URI entries of Subject Alternative Name, and the last path segment of a
    SPIFFE id.
    Raises ValueError where it cannot be read.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        return frozenset(_names(certificate)), certificate.not_valid_after_utc.timestamp()
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from None


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    uris = extension.value.get_values_for_type(x509.UniformResourceIdentifier)
    spiffe = {uri.rpartition("/")[2] for uri in uris if _has_path(uri)}
    return {*extension.value.get_values_for_type(x509.DNSName), *uris, *spiffe} - {""}


def _has_path(uri: str) -> bool:
    domain, slash, _ = uri.removeprefix("spiffe://").partition("/")
    return uri.startswith("spiffe://") and bool(domain and slash)
