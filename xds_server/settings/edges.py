"""The settings of our own edges: Consul and the log; `servers` has those of the two servers."""

from pathlib import Path
from typing import Final, get_args

from msgspec import UNSET, UnsetType

from xds_server.model.secret import Token
from xds_server.reading import did_you_mean, quoted
from xds_server.settings.addresses import AddressError, ConsulAddress, consul_address
from xds_server.settings.shape import ConsulShape, LogForm, LogLevel, LogShape
from xds_server.settings.sources import Sources
from xds_server.settings.values import ConsulSettings, ConsulTls, LogSettings

# Go's strconv.ParseBool, by which Consul's own clients read their variables.
_BOOLEANS: Final = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def consul_settings(shape: ConsulShape, sources: Sources) -> ConsulSettings:
    """Lay flags and CONSUL_* over the file's `consul`."""
    text = sources.text("consul.address") or shape.address
    address = ConsulAddress(url="")
    try:
        address = consul_address(text, tls=_flag(sources, "consul.ssl", default=False))
    except AddressError as error:
        sources.note("consul.address", str(error))
    token = (sources.text("consul.token") or "").strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        sources.note("consul.token", "the token holds a space or a character that no token has")
    # A token in the environment is stronger than a token file in the settings file.
    token_file = UNSET if token else shape.token_file
    return ConsulSettings(
        address=address.url,
        host=address.host,
        port=address.port,
        token=Token(token),
        token_file=_path(sources, "consul.token_file", token_file),
        datacenter=shape.datacenter or "",
        wait=shape.wait,
        tls=_consul_tls(shape, sources),
    )


def _consul_tls(shape: ConsulShape, sources: Sources) -> ConsulTls:
    tls = ConsulTls(
        ca_file=_path(sources, "consul.tls.ca_file", shape.tls.ca_file),
        cert_file=_path(sources, "consul.tls.cert_file", shape.tls.cert_file),
        key_file=_path(sources, "consul.tls.key_file", shape.tls.key_file),
        server_name=sources.text("consul.tls.server_name") or shape.tls.server_name or "",
        verify=_flag(sources, "consul.tls.verify", default=shape.tls.verify),
    )
    if (tls.cert_file is None) != (tls.key_file is None):
        given, missing = ("cert_file", "key_file") if tls.cert_file else ("key_file", "cert_file")
        sources.note(f"consul.tls.{given}", f"needs {missing} as well; a certificate and its key go together")
    return tls


def log_settings(shape: LogShape, sources: Sources) -> LogSettings:
    """Lay flags and environment over the file's `log`."""
    return LogSettings(
        level=_choice(sources, "log.level", shape.level, get_args(LogLevel)),
        form=_choice(sources, "log.form", shape.form, get_args(LogForm)),
    )


def _choice(sources: Sources, key: str, from_file: str, choices: tuple[str, ...]) -> str:
    word = sources.text(key) or from_file
    if word not in choices:
        sources.note(key, f"{quoted(word)} is not known; {did_you_mean(word, choices)}")
    return word


def _flag(sources: Sources, key: str, *, default: bool) -> bool:
    text = sources.text(key)
    if text is None:
        return default
    if text not in _BOOLEANS:
        sources.note(key, f"expected true or false, but found {quoted(text)}")
    return _BOOLEANS.get(text, default)


def _path(sources: Sources, key: str, from_file: str | UnsetType) -> Path | None:
    text = sources.text(key) or from_file
    return sources.path(key, text) if text else None
