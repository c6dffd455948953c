"""Runs a command in this process, without anything of the machine's own environment."""

from click.testing import CliRunner, Result

from xds_server.cli import main

CLEAN = {
    "XDS_CONFIG": "",
    "XDS_LISTEN": "",
    "XDS_ADMIN": "",
    "XDS_CATALOG": "",
    "XDS_LOG_LEVEL": "",
    "XDS_LOG_FORM": "",
    "CONSUL_HTTP_ADDR": "",
    "CONSUL_HTTP_TOKEN": "",
    "CONSUL_HTTP_TOKEN_FILE": "",
    "CONSUL_HTTP_SSL": "",
    "CONSUL_HTTP_SSL_VERIFY": "",
    "CONSUL_CACERT": "",
    "CONSUL_CLIENT_CERT": "",
    "CONSUL_CLIENT_KEY": "",
    "CONSUL_TLS_SERVER_NAME": "",
}


def xds_server(*arguments: object, env: dict[str, str] | None = None) -> Result:
    """Run `xds-server` with these arguments; what it raises is raised."""
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(
        main, words, env={**CLEAN, **(env or {})}, catch_exceptions=False, prog_name="xds-server"
    )


def sentence(result: Result) -> str:
    """Give the one line a command that failed ends its standard error with."""
    assert result.stdout == ""
    return result.stderr.splitlines()[-1]
