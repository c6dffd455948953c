from xds_server.model.secret import Secret, SecretFiles, Token


def test_a_key_is_not_in_the_repr() -> None:
    secret = Secret(name="edge", certificate_chain=b"public", private_key=b"hush")

    assert "hush" not in repr(secret)
    assert secret != Secret(name="edge", certificate_chain=b"public", private_key=b"other")


def test_a_token_shows_stars() -> None:
    token = Token("hush")

    assert (str(token), f"{token}", token.value) == ("***", "***", "hush")
    assert "hush" not in repr(token)
    assert token
    assert not Token()


def test_the_paths_of_a_secret_are_those_that_are_given() -> None:
    assert SecretFiles(name="edge", cert_file="a", key_file="b").paths == ("a", "b")
    assert SecretFiles(name="ca", ca_file="c").paths == ("c",)
