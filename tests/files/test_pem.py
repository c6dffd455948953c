import os
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rig.pem import Authority, key_pem, write
from xds_server.files.pem import SecretError, expiry, read_secret
from xds_server.model.secret import Secret, SecretFiles

CA = Authority()
CERT, KEY = CA.pair()


def read(folder, **names: str) -> Secret:
    names = names or {"cert_file": "cert", "key_file": "key"}
    paths = {kind: str(folder / f"{name}.pem") for kind, name in names.items()}
    return read_secret(SecretFiles(name="edge", **paths), datetime.now(UTC))


def refusal(folder, **names: str) -> str:
    with pytest.raises(SecretError) as caught:
        read(folder, **names)
    return str(caught.value).replace(f"{folder}/", "")


def test_a_pair_and_a_ca_are_read(tmp_path):
    write(tmp_path, cert=CERT, key=KEY, ca=CA.pem)

    found = read(tmp_path, cert_file="cert", key_file="key", ca_file="ca")

    assert found == Secret(name="edge", certificate_chain=CERT, private_key=KEY, trusted_ca=CA.pem)
    assert b"PRIVATE" not in repr(found).encode()
    until = expiry(found)
    assert until is not None
    assert until - datetime.now(UTC) > timedelta(days=29)


def test_a_ca_alone_has_no_expiry_to_tell(tmp_path):
    write(tmp_path, ca=CA.pem)

    found = read(tmp_path, ca_file="ca")

    assert (found.trusted_ca, expiry(found)) == (CA.pem, None)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
)
def test_kinds_of_keys_that_envoy_takes(tmp_path, key):
    cert, pem = CA.pair(key=key)
    write(tmp_path, cert=cert, key=pem)

    assert read(tmp_path).private_key == pem


def test_an_old_form_of_key_is_written_anew(tmp_path):
    key = load_pem_private_key(KEY, None)
    write(
        tmp_path,
        cert=CERT,
        key=key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
    )

    assert read(tmp_path).private_key == KEY


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pem: pem.replace(b"\n", b"\r\n"),
        lambda pem: b"\xef\xbb\xbf" + pem,
        lambda pem: pem.rstrip(b"\n"),
        lambda pem: b"a comment\n\n" + pem + b"\n\nanother\n",
    ],
)
def test_line_ends_marks_and_comments_are_mended(tmp_path, spoil):
    write(tmp_path, cert=spoil(CERT), key=spoil(KEY))

    assert read(tmp_path) == Secret(name="edge", certificate_chain=CERT, private_key=KEY)


def test_a_key_in_the_file_of_the_certificate_does_not_get_into_the_chain(tmp_path):
    write(tmp_path, both=KEY + CERT)

    found = read(tmp_path, cert_file="both", key_file="both")

    assert (found.certificate_chain, found.private_key) == (CERT, KEY)


def test_a_chain_is_kept_in_order(tmp_path):
    middle = Authority("middle", issuer=CA)
    cert, key = middle.pair()
    write(tmp_path, cert=cert + middle.pem + CA.pem, key=key)

    assert read(tmp_path).certificate_chain == cert + middle.pem + CA.pem


def test_a_chain_out_of_order_is_refused(tmp_path):
    middle = Authority("middle", issuer=CA)
    cert, key = middle.pair()
    write(tmp_path, leaf_last=middle.pem + cert, mixed=cert + CA.pem + middle.pem, key=key)

    assert "put the leaf first" in refusal(tmp_path, cert_file="leaf_last", key_file="key")
    assert "certificate 1 in mixed.pem was not issued by the next one" in refusal(
        tmp_path, cert_file="mixed", key_file="key"
    )


def test_a_chain_with_an_expired_member_is_refused(tmp_path):
    middle = Authority("middle", issuer=CA)
    middle.certificate = CA.sign("middle", middle.key, is_ca=True, days=(-9, -1))
    cert, key = middle.pair()
    write(tmp_path, cert=cert + middle.pem, key=key)

    assert "expired" in refusal(tmp_path)


SHORT_KEY = rsa.generate_private_key(65537, 1024)  # noqa: S505 - short on purpose
OTHER_CERT, OTHER_KEY = CA.pair()


@pytest.mark.parametrize(
    ("cert", "key", "part"),
    [
        (CERT, OTHER_KEY, "the key in key.pem does not belong to the certificate in cert.pem"),
        (b"", KEY, "cert.pem holds no certificate"),
        (b"garbage", KEY, "cert.pem holds no certificate"),
        (KEY, KEY, "cert.pem holds no certificate"),
        (CERT[:-100], KEY, "cert.pem holds no certificate"),
        (CERT.replace(b"MII", b"AAA", 1), KEY, "cert.pem holds no certificate"),
        (CERT, b"", "key.pem holds no private key"),
        (CERT, CERT, "key.pem holds no private key"),
        (CERT, KEY[:60] + KEY[70:], "key.pem holds no private key"),
        (CERT, b"#" * (64 * 1024 + 1), "key.pem is larger than 64 kB"),
        (
            CERT,
            key_pem(load_pem_private_key(KEY, None), b"secret"),
            "the private key in key.pem is encrypted",
        ),
        (*CA.pair(days=(-9, -1)), "a certificate in cert.pem expired on"),
        (*CA.pair(days=(1, 9)), "a certificate in cert.pem is not valid before"),
        (*CA.pair(key=SHORT_KEY), "of a kind that Envoy does not take"),
        (*CA.pair(key=ed448.Ed448PrivateKey.generate()), "of a kind that Envoy does not take"),
        (*CA.pair(key=ec.generate_private_key(ec.SECP256K1())), "of a kind that Envoy does not take"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_pair_is_refused_without_a_byte_of_the_key(tmp_path, cert, key, part):
    write(tmp_path, cert=cert, key=key)

    found = refusal(tmp_path)

    assert part in found
    assert not any(line.decode() in found for line in key.splitlines() if len(line) > 10)


def test_a_bundle_with_one_live_ca_is_taken(tmp_path):
    old = CA.sign("old", CA.key, is_ca=True, days=(-9, -1)).public_bytes(Encoding.PEM)
    write(tmp_path, mixed=old + CA.pem, old=old)

    assert read(tmp_path, ca_file="mixed").trusted_ca == old + CA.pem
    assert "every CA in old.pem has expired" in refusal(tmp_path, ca_file="old")


def test_files_that_are_no_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo.pem")
    (tmp_path / "folder.pem").mkdir()
    (tmp_path / "device.pem").symlink_to("/dev/zero")

    assert refusal(tmp_path, ca_file="fifo") == "fifo.pem is not a regular file"
    assert refusal(tmp_path, ca_file="folder") == "folder.pem is not a regular file"
    assert refusal(tmp_path, ca_file="device") == "device.pem is not a regular file"
    assert refusal(tmp_path, ca_file="none") == "none.pem does not exist"


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, len(CERT + KEY)), put=st.binary(max_size=20), end=st.booleans())
def test_any_damage_is_a_secret_or_a_secret_error(tmp_path_factory, cut, put, end):
    folder = tmp_path_factory.getbasetemp()
    both = CERT + KEY
    write(folder, any=both[:cut] + put + (b"" if end else both[cut:]))
    try:
        found = read(folder, cert_file="any", key_file="any")
    except SecretError as error:
        message = str(error)
    else:
        message = ""
        assert x509.load_pem_x509_certificates(found.certificate_chain)
    assert "PRIVATE" not in message
