from xds_server.model.secret import Secret
from xds_server.model.types import TypeUrl
from xds_server.translate.render import to_dict, unpack
from xds_server.translate.secrets import secrets


def test_a_private_key_is_hidden_and_the_message_stays_whole() -> None:
    (made,) = secrets(Secret(name="edge", certificate_chain=b"chain", private_key=b"hush"))
    message = unpack(TypeUrl.SECRET, made.packed)
    before = message.SerializeToString()

    shown = to_dict(message)

    assert shown["tls_certificate"]["private_key"] == {"inline_bytes": "W3JlZGFjdGVkXQ=="}  # [redacted]
    assert message.SerializeToString() == before
    assert b"hush" in before
