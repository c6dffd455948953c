"""Certificates for tests, with the dates and keys that a test needs."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

DAY = timedelta(days=1)


def key_pem(key: CertificateIssuerPrivateKeyTypes, password: bytes = b"") -> bytes:
    """Give a private key as PKCS#8 PEM, encrypted if there is a password."""
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


class Authority:
    """A CA that issues what it is told to."""

    def __init__(self, name: str = "test ca", issuer: "Authority | None" = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = (issuer or self).sign(name, self.key, name=name, is_ca=True)

    @property
    def pem(self) -> bytes:
        """The CA's own certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    def sign(
        self,
        host: str,
        key: CertificateIssuerPrivateKeyTypes,
        *,
        name: str = "",
        is_ca: bool = False,
        days: tuple[int, int] = (-1, 30),
    ) -> x509.Certificate:
        """Issue a certificate that is valid from and to so many days from now."""
        now = datetime.now(UTC)
        issuer = getattr(self, "certificate", None)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name or host)])
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + days[0] * DAY)
            .not_valid_after(now + days[1] * DAY)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(host.replace(" ", "-"))]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def pair(
        self,
        host: str = "shop.example.com",
        *,
        key: CertificateIssuerPrivateKeyTypes | None = None,
        days: tuple[int, int] = (-1, 30),
    ) -> tuple[bytes, bytes]:
        """Give a certificate and its key as PEM."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        return self.sign(host, key, days=days).public_bytes(Encoding.PEM), key_pem(key)


def write(folder: Path, **files: bytes) -> None:
    """Write files named after the arguments, with `.pem` added."""
    for name, data in files.items():
        (folder / f"{name}.pem").write_bytes(data)
