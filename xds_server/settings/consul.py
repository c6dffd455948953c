"""The settings of Consul: flags and CONSUL_* laid over the file's `consul`."""

import dataclasses
from pathlib import Path
from types import MappingProxyType
from typing import Final

from msgspec import UNSET, UnsetType

from xds_server.model.catalog import is_service_name
from xds_server.model.secret import Token
from xds_server.reading import quoted
from xds_server.settings.addresses import AddressError, ConsulAddress, consul_address, ip_and_port
from xds_server.settings.consul_shape import ConsulShape
from xds_server.settings.sources import Sources
from xds_server.settings.values import ConsulLogin, ConsulSettings, ConsulTls

# Go's strconv.ParseBool, by which Consul's own clients read their variables.
_BOOLEANS: Final = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_MOST_ADDRESSES: Final = 16


def consul_settings(shape: ConsulShape, sources: Sources) -> ConsulSettings:
    """Give the settings of Consul, noting what is wrong with them."""
    token = _secret(sources, "consul.token")
    # What the environment says of the token is stronger than all that the file says of it.
    outside = bool(token) or sources.text("consul.token_file") is not None
    basic_auth = _secret(sources, "consul.auth")
    return ConsulSettings(
        addresses=_addresses(shape, sources),
        connections=shape.connections,
        token=token,
        token_file=_path(sources, "consul.token_file", UNSET if token else shape.token_file),
        login=None if outside else _login(shape, sources),
        basic_auth=basic_auth,
        auth_file=_path(sources, "consul.auth_file", UNSET if basic_auth else shape.auth_file),
        datacenter=shape.datacenter or "",
        namespace=sources.text("consul.namespace") or shape.namespace or "",
        partition=sources.text("consul.partition") or shape.partition or "",
        wait=shape.wait,
        requests_per_second=shape.requests_per_second,
        sweep=shape.sweep,
        stale=shape.stale,
        max_stale=shape.max_stale,
        cached=shape.cached,
        max_age=None if isinstance(shape.max_age, UnsetType) else shape.max_age,
        removal_hold=shape.removal_hold,
        config_entries=shape.config_entries,
        datacenters=_datacenters(shape, sources),
        remote_keep=shape.remote_keep,
        register=shape.register,
        advertise=_advertise(shape, sources),
        tls=_tls(shape, sources),
    )


def _addresses(shape: ConsulShape, sources: Sources) -> tuple[ConsulAddress, ...]:
    """Read one address or several: a list in the file, commas between them elsewhere."""
    key = "consul.address"
    given = sources.text(key)
    listed = shape.address if isinstance(shape.address, tuple) else (shape.address,)
    texts = listed if given is None else tuple(text.strip() for text in given.split(","))
    tls = _flag(sources, "consul.ssl", default=False)
    if len(texts) > _MOST_ADDRESSES:
        sources.note(key, f"has {len(texts)} addresses; name at most {_MOST_ADDRESSES} of a cluster's agents")
    found = []
    for position, text in enumerate(texts):
        try:
            found.append(consul_address(text, tls=tls))
        except AddressError as error:
            sources.note(key if given or len(texts) == 1 else f"{key}[{position}]", str(error))
    return tuple(dict.fromkeys(found)) or (ConsulAddress(url=""),)


def _datacenters(shape: ConsulShape, sources: Sources) -> tuple[str, ...]:
    for position, name in enumerate(shape.datacenters):
        key = f"consul.datacenters[{position}]"
        if not is_service_name(name):
            sources.note(key, f"{quoted(name)} cannot be the name of a datacenter")
        if name == shape.datacenter or name in shape.datacenters[:position]:
            sources.note(key, f"{quoted(name)} is read already; name each datacenter once")
    return shape.datacenters


def _advertise(shape: ConsulShape, sources: Sources) -> tuple[str, int] | None:
    if isinstance(shape.advertise, UnsetType):
        return None
    try:
        return ip_and_port(shape.advertise)
    except AddressError as error:
        sources.note("consul.advertise", str(error))
        return None


def _secret(sources: Sources, key: str) -> Token:
    text = (sources.text(key) or "").strip()
    if not text.isascii() or not text.isprintable() or (" " in text and key == "consul.token"):
        sources.note(key, f"the {key.rpartition('.')[2]} holds a space or a character that it cannot have")
    return Token(text)


def _login(shape: ConsulShape, sources: Sources) -> ConsulLogin | None:
    if isinstance(shape.login, UnsetType):
        return None
    if shape.token_file is not UNSET:
        sources.note("consul.login", "stands beside token_file, and only one of them can give the token")
    return ConsulLogin(
        auth_method=shape.login.auth_method,
        bearer_token_file=sources.path("consul.login.bearer_token_file", shape.login.bearer_token_file),
        meta=MappingProxyType(shape.login.meta),
    )


def _tls(shape: ConsulShape, sources: Sources) -> ConsulTls:
    tls = ConsulTls(
        ca_file=_path(sources, "consul.tls.ca_file", shape.tls.ca_file),
        ca_path=_path(sources, "consul.tls.ca_path", shape.tls.ca_path),
        cert_file=_path(sources, "consul.tls.cert_file", shape.tls.cert_file),
        key_file=_path(sources, "consul.tls.key_file", shape.tls.key_file),
        server_name=sources.text("consul.tls.server_name") or shape.tls.server_name or "",
        verify=_flag(sources, "consul.tls.verify", default=shape.tls.verify),
    )
    if (tls.cert_file is None) != (tls.key_file is None):
        given, missing = ("cert_file", "key_file") if tls.cert_file else ("key_file", "cert_file")
        sources.note(f"consul.tls.{given}", f"needs {missing} as well; a certificate and its key go together")
    return dataclasses.replace(tls, ca_path=None) if tls.ca_file is not None else tls


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
