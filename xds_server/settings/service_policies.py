"""How services are reached: the file's `defaults`, and `services` laid over them key by key."""

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from msgspec import UnsetType

from xds_server.model.catalog import is_service_name
from xds_server.model.policy import (
    HashKind,
    HashOn,
    OutlierDetection,
    ServicePolicy,
    UpstreamTls,
)
from xds_server.reading import child, quoted
from xds_server.settings.addresses import is_host
from xds_server.settings.secret_files import Secrets
from xds_server.settings.service_shape import (
    HashOnShape,
    OutlierShape,
    RingSizeShape,
    ServiceShape,
    UpstreamTlsShape,
    set_fields,
)
from xds_server.settings.sources import Sources

_PLAIN: Final = (
    "protocol",
    "connect_timeout",
    "lb_policy",
    "choices",
    "request_timeout",
    "panic_threshold",
    "on_warning",
    "hostnames",
    "last_endpoint",
)
_COOKIE_ONLY: Final = ("ttl", "path")
# RFC 6265, 4.1.1: what may stand in the Path of a Set-Cookie.
_COOKIE_PATH: Final = re.compile(r"/[\x20-\x3a\x3c-\x7e]*", re.ASCII)
_ENVOY_BASE_EJECTION_TIME: Final = 30.0
# RFC 9110, 5.6.2: a token; RFC 6265 takes the same for a cookie's name. Envoy also has `:path` and its like.
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_TOKENS: Final = frozenset({HashKind.HEADER, HashKind.COOKIE})


def service_policies(
    shapes: Mapping[str, ServiceShape], defaults: ServicePolicy, secrets: Secrets, sources: Sources
) -> Mapping[str, ServicePolicy]:
    """Give the complete policy of each service of the file, by name in sorted order."""
    policies = {}
    for name in sorted(shapes):
        key = child("services", name)
        if not is_service_name(name):
            sources.note(key, f"{quoted(name)} cannot be the name of a service")
        policies[name] = service_policy(shapes[name], defaults, secrets, sources, key)
    return MappingProxyType(policies)


def stated_fields(shapes: Mapping[str, ServiceShape]) -> Mapping[str, frozenset[str]]:
    """Give the fields of `ServicePolicy` that each service's own mapping in the file sets.

    A key of the file has the name of its field.
    """
    return MappingProxyType({name: frozenset(set_fields(shapes[name])) for name in sorted(shapes)})


def service_policy(
    shape: ServiceShape, base: ServicePolicy, secrets: Secrets, sources: Sources, key: str
) -> ServicePolicy:
    """Lay one mapping of the file over `base`."""
    changes: dict[str, Any] = {name: value for name, value in set_fields(shape).items() if name in _PLAIN}
    if not isinstance(shape.hash_on, UnsetType):
        changes["hash_on"] = tuple(
            _hash_on(one, sources, f"{key}.hash_on[{position}]") for position, one in enumerate(shape.hash_on)
        )
    if not isinstance(shape.ring_size, UnsetType):
        changes["ring_size"] = _ring_size(shape.ring_size, sources, f"{key}.ring_size")
    if not isinstance(shape.circuit_breakers, UnsetType):
        changes["circuit_breakers"] = replace(base.circuit_breakers, **set_fields(shape.circuit_breakers))
    if not isinstance(shape.outlier_detection, UnsetType):
        changes["outlier_detection"] = _outlier_detection(
            shape.outlier_detection, base.outlier_detection, sources, f"{key}.outlier_detection"
        )
    if not isinstance(shape.tls, UnsetType):
        changes["tls"] = _upstream_tls(shape.tls, secrets, sources, f"{key}.tls")
    return replace(base, **changes)


def _outlier_detection(
    shape: OutlierShape | bool, base: OutlierDetection | None, sources: Sources, key: str
) -> OutlierDetection | None:
    if shape is False:
        return None
    policy = base or OutlierDetection()
    if isinstance(shape, OutlierShape):
        policy = replace(policy, **set_fields(shape))
    # Envoy refuses the whole cluster otherwise (source/common/upstream/outlier_detection_impl.cc).
    shortest = policy.base_ejection_time or _ENVOY_BASE_EJECTION_TIME
    if policy.max_ejection_time is not None and policy.max_ejection_time < shortest:
        sources.note(key, f"max_ejection_time must not be shorter than base_ejection_time ({shortest:g}s)")
    return policy


def _upstream_tls(
    shape: UpstreamTlsShape | bool, secrets: Secrets, sources: Sources, key: str
) -> UpstreamTls | None:
    if shape is False:
        return None
    if not isinstance(shape, UpstreamTlsShape):
        sources.note(key, "`true` says too little: TLS needs ca and sans, or nothing would be checked")
        return None
    secrets.need_ca(shape.ca, f"{key}.ca")
    values = set_fields(shape)
    if "certificate" in values:
        secrets.need_certificate(values["certificate"], f"{key}.certificate")
    for position, name in enumerate(shape.sans):
        if not is_host(name):
            sources.note(f"{key}.sans[{position}]", f"{quoted(name)} is not a DNS name in lower case")
    if "sni" in values and not is_host(values["sni"]):
        sources.note(f"{key}.sni", f"{quoted(values['sni'])} is not a DNS name in lower case")
    return UpstreamTls(**values)


def _ring_size(shape: RingSizeShape, sources: Sources, key: str) -> tuple[int | None, int | None]:
    values = set_fields(shape)
    least, most = values.get("minimum"), values.get("maximum")
    if least is not None and most is not None and least > most:
        sources.note(key, f"minimum must not be more than maximum ({most})")
    return least, most


def _hash_on(shape: HashOnShape, sources: Sources, key: str) -> HashOn:
    values = set_fields(shape)
    found = [(kind, values[kind]) for kind in HashKind if kind in values]
    if len(found) != 1 or values.get("source_ip") is False:
        sources.note(key, "needs exactly one of header, cookie, query and source_ip: true")
        return HashOn(kind=HashKind.SOURCE_IP)
    ((kind, name),) = found
    for option in _COOKIE_ONLY:
        if option in values and kind is not HashKind.COOKIE:
            sources.note(f"{key}.{option}", "is for a cookie only; remove it")
    if not _COOKIE_PATH.fullmatch(values.get("path", "/")):
        sources.note(f"{key}.path", "is not a path that begins with / and holds no semicolon")
    if kind in _TOKENS and not set(name.removeprefix(":") if kind is HashKind.HEADER else name) <= _TOKEN:
        sources.note(f"{key}.{kind}", f"{quoted(name)} cannot be the name of a {kind}")
    return HashOn(
        kind=kind,
        name="" if kind is HashKind.SOURCE_IP else name,
        ttl=values.get("ttl"),
        path=values.get("path", ""),
        terminal=values.get("terminal", False),
    )
