"""A secret that goes bad keeps its last good version, is named, and costs no other: 123 to 131."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest

from tests.protocol.resources import SDS
from tests.rig.pem import Authority, key_pem
from xds_server.files import SecretsSource, secrets
from xds_server.model.catalog import Catalog
from xds_server.model.policy import Policy
from xds_server.model.problem import Code
from xds_server.model.proxy import Group
from xds_server.model.secret import SecretFiles, Secrets
from xds_server.protocol import DeltaMachine
from xds_server.runtime.latest import Latest
from xds_server.snapshot import EMPTY, build
from xds_server.translate import Translator

CA = Authority()
CERT, KEY = CA.pair()
NEW_CERT, NEW_KEY = CA.pair()
MIDDLE = Authority("middle", issuer=CA)
LEAF, LEAF_KEY = MIDDLE.pair()
OLD_MIDDLE = Authority("old", issuer=CA)
OLD_MIDDLE.certificate = CA.sign("old", OLD_MIDDLE.key, is_ca=True, days=(-9, -1))
OLD_LEAF, OLD_LEAF_KEY = OLD_MIDDLE.pair()
SHORT = rsa.generate_private_key(65537, 1024)  # noqa: S505 - short on purpose
ODD = ec.generate_private_key(ec.SECP256K1())

DAMAGED = Path(__file__).parents[1] / "fuzz" / "seeds" / "pem" / "damaged-public-key"
URI, DNS = x509.UniformResourceIdentifier, x509.DNSName


def named(*names: x509.GeneralName) -> tuple[bytes, bytes]:
    """Issue a certificate with these names and no others, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    like = CA.sign("x", key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(CA.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(like.not_valid_before_utc)
        .not_valid_after(like.not_valid_after_utc)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return builder.sign(CA.key, hashes.SHA256()).public_bytes(Encoding.PEM), key_pem(key)


Spoil = tuple[int, str, bytes, bytes, str]
"""The number, what is wrong, the certificate's file, the key's file, and what is said of it."""

BAD: list[Spoil] = [
    (123, "the key of another certificate", CERT, NEW_KEY, "does not belong to the certificate"),
    (124, "garbage for a certificate", b"garbage", KEY, "holds no certificate"),
    (124, "garbage for a key", CERT, b"garbage", "holds no private key"),
    (124, "nothing", b"", b"", "holds no certificate"),
    (124, "a certificate cut off", CERT[:-100], KEY, "holds no certificate"),
    (124, "a public key that is none", DAMAGED.read_bytes(), KEY, "has a public key that is damaged"),
    (125, "expired", *CA.pair(days=(-9, -1)), "expired on"),
    (125, "not yet valid", *CA.pair(days=(1, 9)), "is not valid before"),
    (128, "an encrypted key", CERT, key_pem(load_pem_private_key(KEY, None), b"word"), "is encrypted"),
    (128, "a key of 1024 bit", *CA.pair(key=SHORT), "of a kind that Envoy does not take"),
    (128, "a curve Envoy does not know", *CA.pair(key=ODD), "of a kind that Envoy does not take"),
    (129, "a chain out of order", MIDDLE.pem + LEAF, LEAF_KEY, "put the leaf first"),
    (129, "a chain with a gap", LEAF + CA.pem + MIDDLE.pem, LEAF_KEY, "was not issued by the next one"),
    (129, "an expired member", OLD_LEAF + OLD_MIDDLE.pem, OLD_LEAF_KEY, "expired on"),
    (131, "100 MB", b"#" * (100 * 1024 * 1024), KEY, "is larger than 64 kB"),
]
MENDED = [
    (126, "no SAN", *named()),
    (126, "two names of a workload", *named(URI("spiffe://x/a"), URI("spiffe://x/b"))),
    (126, "NUL in a name", *named(DNS("edge\x00.example.com"))),
    (127, "CRLF", NEW_CERT.replace(b"\n", b"\r\n"), NEW_KEY.replace(b"\n", b"\r\n")),
    (127, "BOM", b"\xef\xbb\xbf" + NEW_CERT, b"\xef\xbb\xbf" + NEW_KEY),
    (127, "no line break at the end", NEW_CERT.rstrip(), NEW_KEY.rstrip()),
    (129, "a whole chain", LEAF + MIDDLE.pem + CA.pem, LEAF_KEY),
]


def each(cases):
    """Give the cases as parameters, without their numbers and titles."""
    return [
        pytest.param(*rest, id=f"{number} {what}", marks=pytest.mark.case(number))
        for number, what, *rest in cases
    ]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(secrets, "_RETRY_AFTER", (0.02,))


def put(path: Path, data: bytes) -> None:
    path.with_suffix(".new").write_bytes(data)
    path.with_suffix(".new").replace(path)


class Kept:
    """The files of two secrets that are right at first, and what is made of them."""

    def __init__(self, folder: Path, cell: Latest[Secrets]) -> None:
        self.folder = folder
        self._cell = cell

    async def until(self, holds: Callable[[Secrets], bool]) -> Secrets:
        async with asyncio.timeout(20):
            async for value in self._cell.values():
                if holds(value):
                    return value
        raise AssertionError


def files_of(folder: Path, name: str) -> SecretFiles:
    return SecretFiles(name=name, cert_file=str(folder / f"{name}.crt"), key_file=str(folder / f"{name}.key"))


@pytest.fixture
async def kept(tmp_path) -> AsyncIterator[Kept]:
    async with keeping(tmp_path) as found:
        yield found


@asynccontextmanager
async def keeping(folder: Path) -> AsyncIterator[Kept]:
    for name in ("edge", "other"):
        put(folder / f"{name}.crt", CERT)
        put(folder / f"{name}.key", KEY)
    cell: Latest[Secrets] = Latest()
    source = SecretsSource((files_of(folder, "edge"), files_of(folder, "other")))
    task = asyncio.create_task(source.run(cell))
    found = Kept(folder, cell)
    await found.until(lambda value: len(value.by_name) == 2)
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()


async def check_refused(kept: Kept, part: str) -> None:
    """What was served before is served on, the problem says why, and no byte of a key is in it."""
    found = await kept.until(lambda value: any(part in one.sentence for one in value.problems))
    (problem,) = found.problems
    assert (problem.code, problem.source) == (Code.SECRET_INVALID, 'secret "edge"')
    assert problem.sentence.endswith("the version before it stays in force")
    assert {one.certificate_chain for one in found.by_name.values()} == {CERT}
    assert {one.private_key for one in found.by_name.values()} == {KEY}
    key = [line.decode() for line in (KEY + NEW_KEY + LEAF_KEY).splitlines() if b"-" not in line]
    assert not any(line in problem.sentence for line in key)


@pytest.mark.parametrize(("cert", "key", "part"), each(BAD))
async def test_the_version_before_stays(kept, cert, key, part):
    put(kept.folder / "edge.crt", cert)
    put(kept.folder / "edge.key", key)

    await check_refused(kept, part)

    put(kept.folder / "edge.crt", NEW_CERT)
    put(kept.folder / "edge.key", NEW_KEY)
    await kept.until(lambda value: value.by_name["edge"].private_key == NEW_KEY and not value.problems)


@pytest.mark.parametrize(("cert", "key"), each(MENDED))
async def test_it_is_taken_and_written_anew(kept, cert, key):
    put(kept.folder / "edge.crt", cert)
    put(kept.folder / "edge.key", key)

    found = await kept.until(
        lambda value: value.by_name["edge"].certificate_chain != CERT and not value.problems
    )

    chain = found.by_name["edge"].certificate_chain
    assert b"\r" not in chain
    assert chain.startswith(b"-----BEGIN")
    assert chain.endswith(b"-----END CERTIFICATE-----\n")
    assert found.by_name["other"].certificate_chain == CERT


@pytest.mark.case(131)
@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "device", "half"])
async def test_what_is_no_file_is_never_waited_for(kept, kind):
    path = kept.folder / "edge.key"
    path.unlink()
    match kind:
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "half":
            put(path, KEY[: len(KEY) // 2])

    said = {"missing": "does not exist", "half": "holds no private key"}
    await check_refused(kept, said.get(kind, "is not a regular file"))


@pytest.mark.case(130)
@pytest.mark.parametrize("name", ["../edge", "edge\x00", "%00", "/etc/passwd", "", "edge/../edge", "EDGE"])
async def test_a_name_is_looked_up_and_never_a_path(kept, name):
    material = await kept.until(lambda value: len(value.by_name) == 2)
    translation = Translator(Group()).translate(Catalog.of("dc1", []), Policy(), material)
    machine = DeltaMachine(build(translation.drafts, translation.problems, EMPTY), "")

    machine.receive(DeltaDiscoveryRequest(type_url=SDS, resource_names_subscribe=[name]), 0.0)

    for response in machine.outbox(0.0):
        assert b"PRIVATE KEY" not in response.payload
        assert b"CERTIFICATE" not in response.payload
