"""F-f: whatever the files of a secret hold is a secret or a `SecretError` without a byte of a key."""

from base64 import b64decode, b64encode, encodebytes
from collections.abc import Callable
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import strategies as st

from tests.fuzz.mutation import mutated
from tests.fuzz.target import Target, contents, workplace
from tests.rig.pem import Authority, key_pem
from xds_server.files.pem import SecretError, read_secret
from xds_server.model.secret import SecretFiles

_AUTHORITY = Authority()
_MIDDLE = Authority("middle", issuer=_AUTHORITY)
_CERT, _KEY = _MIDDLE.pair()
_SEEDS = [_CERT, _KEY, _CERT + _MIDDLE.pem + _AUTHORITY.pem, _AUTHORITY.pem, key_pem(_AUTHORITY.key, b"word")]
_SECRET_LINES = [line.decode() for line in _KEY.splitlines() if len(line) > 40]


def fuzz_one(files: tuple[bytes, bytes, bytes]) -> None:
    names = [workplace() / name for name in ("cert", "key", "ca")]
    for path, data in zip(names, files, strict=True):
        path.write_bytes(data)
    cert, key, ca = map(str, names)
    told = [read(SecretFiles(name="edge", cert_file=cert, key_file=key))]
    told.append(read(SecretFiles(name="edge", ca_file=ca)))
    for sentence in told:
        assert sentence.isprintable()
        assert "PRIVATE" not in sentence
        assert not any(line[:20] in sentence for line in _SECRET_LINES)
        assert b64encode(files[1]).decode()[:20] not in sentence or not files[1]


def read(files: SecretFiles) -> str:
    """Read a secret, which has to be whole, or give why it cannot be."""
    try:
        found = read_secret(files, datetime.now(UTC))
    except SecretError as error:
        return str(error)
    if found.certificate_chain:
        leaf = x509.load_pem_x509_certificates(found.certificate_chain)[0]
        key = load_pem_private_key(found.private_key, None)
        assert leaf.public_key() == key.public_key()
        assert b"PRIVATE" not in found.certificate_chain
    if found.trusted_ca:
        assert x509.load_pem_x509_certificates(found.trusted_ca)
        assert b"PRIVATE" not in found.trusted_ca
    return ""


def files_of(data: bytes) -> tuple[bytes, bytes, bytes]:
    """A seed is a certificate or a key; no private key that belongs to anything is among them."""
    return (data, _KEY, data) if b"CERTIFICATE" in data else (_CERT, data, data)


def armoured(kind: str) -> Callable[[bytes], bytes]:
    """Give what puts bytes into the frame of PEM, so that what is inside is mutated and not its base64."""

    def wrap(data: bytes) -> bytes:
        return f"-----BEGIN {kind}-----\n".encode() + encodebytes(data) + f"-----END {kind}-----\n".encode()

    return wrap


def inside(pem: bytes) -> bytes:
    return b64decode(b"".join(line for line in pem.splitlines() if not line.startswith(b"-")))


_DATA = st.one_of(
    mutated([*_SEEDS, *contents("pem")]),
    mutated([inside(_CERT), inside(_AUTHORITY.pem)]).map(armoured("CERTIFICATE")),
    mutated([inside(_KEY)]).map(armoured("PRIVATE KEY")),
)
TARGET = Target(
    name="pem",
    inputs=st.tuples(_DATA | st.just(_CERT), _DATA | st.just(_KEY), _DATA),
    one=fuzz_one,
    of_bytes=files_of,
)
