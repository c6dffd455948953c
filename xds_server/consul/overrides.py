"""proxy-defaults and service-defaults: what they say of how a service is reached; pure.

https://developer.hashicorp.com/consul/docs/connect/config-entries/service-defaults and .../proxy-defaults .
`UpstreamConfig` is what a service says of those that it calls, so it counts here where that service is the
one that our proxies are (`xds-server`). Local timeouts are for reaching the application itself, which
our proxies do as a sidecar does.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from xds_server.consul.pieces import MAX_UINT32, PROTOCOLS, Flaw, GoDuration, Int, seconds
from xds_server.consul.text import shown
from xds_server.model.catalog import is_service_name
from xds_server.model.entries import Override
from xds_server.model.policy import CircuitBreakers, OutlierDetection

MAX_OVERRIDES: Final = 1000
_PERCENT: Final = 100


class LimitsShape(msgspec.Struct):
    """`UpstreamLimits`; 0 says nothing."""

    MaxConnections: Int | None = None
    MaxPendingRequests: Int | None = None
    MaxConcurrentRequests: Int | None = None


class HealthShape(msgspec.Struct):
    """`PassiveHealthCheck`; 0 says nothing, but for EnforcingConsecutive5xx."""

    Interval: GoDuration = 0
    MaxFailures: Int = 0
    EnforcingConsecutive5xx: Int | None = None
    MaxEjectionPercent: Int | None = None
    BaseEjectionTime: GoDuration | None = None


class Upstream(msgspec.Struct):
    """`UpstreamConfig`: of one upstream, or the defaults of all."""

    Name: str = ""
    Namespace: str = ""
    Partition: str = ""
    Peer: str = ""
    Protocol: str = ""
    ConnectTimeoutMs: Int = 0
    Limits: LimitsShape | None = None
    PassiveHealthCheck: HealthShape | None = None


class Upstreams(msgspec.Struct):
    """`UpstreamConfiguration`; each is read on its own."""

    Defaults: msgspec.Raw = msgspec.Raw(b"null")
    Overrides: list[msgspec.Raw] | None = None


class ServiceDefaults(msgspec.Struct):
    """`ServiceConfigEntry`; each field is read on its own."""

    Protocol: Any = ""
    LocalConnectTimeoutMs: Any = None
    LocalRequestTimeoutMs: Any = None
    UpstreamConfig: Upstreams | None = None


class ProxyDefaults(msgspec.Struct):
    """`ProxyConfigEntry`; the keys of Config are free."""

    Config: dict[str, Any] | None = None


# The field of Consul's, and what reads it into which field of a ServicePolicy.
_SERVICE_FIELDS: Final = (
    ("Protocol", "protocol"),
    ("LocalConnectTimeoutMs", "connect_timeout"),
    ("LocalRequestTimeoutMs", "request_timeout"),
)
_PROXY_KEYS: Final = (
    ("protocol", "protocol"),
    ("local_connect_timeout_ms", "connect_timeout"),
    ("local_request_timeout_ms", "request_timeout"),
)


def proxy_overrides(entry: ProxyDefaults, source: str, notes: list[str]) -> tuple[Override, ...]:
    """Give what `proxy-defaults/global` says of every service."""
    config = entry.Config or {}
    return _gathered(((key, config.get(key), field) for key, field in _PROXY_KEYS), source, notes)


def service_overrides(entry: ServiceDefaults, source: str, notes: list[str]) -> tuple[Override, ...]:
    """Give what a `service-defaults` says of how that service is reached."""
    stated = ((name, getattr(entry, name), field) for name, field in _SERVICE_FIELDS)
    return _gathered(stated, source, notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """What a caller says of those that it calls: of all, and of one by its name, sorted."""

    all: tuple[Override, ...] = ()
    one: tuple[tuple[str, tuple[Override, ...]], ...] = ()


NO_CALLS: Final = Calls()


def upstream_overrides(given: Upstreams | None, source: str, notes: list[str]) -> Calls:
    """Give what the UpstreamConfig of our own `service-defaults` says."""
    if given is None:
        return NO_CALLS
    one: dict[str, tuple[Override, ...]] = {}
    overrides = given.Overrides or []
    if len(overrides) > MAX_OVERRIDES:
        notes.append(f"of UpstreamConfig.Overrides only {MAX_OVERRIDES} are used")
    for raw in overrides[:MAX_OVERRIDES]:
        upstream = _upstream(raw, "UpstreamConfig.Overrides", notes)
        if upstream is None or upstream.Peer:
            continue  # services of peers are not read
        if is_service_name(upstream.Name):
            one[upstream.Name] = reached(upstream, source, notes)
        else:
            notes.append(f"UpstreamConfig.Overrides has the name {shown(upstream.Name)}, which is left out")
    defaults = _upstream(given.Defaults, "UpstreamConfig.Defaults", notes)
    return Calls(
        all=reached(defaults, source, notes) if defaults else (),
        one=tuple(sorted((name, said) for name, said in one.items() if said)),
    )


def reached(upstream: Upstream, source: str, notes: list[str]) -> tuple[Override, ...]:
    """Give what one upstream configuration says."""
    return _gathered(
        (
            ("Protocol", upstream.Protocol, "protocol"),
            ("ConnectTimeoutMs", upstream.ConnectTimeoutMs or None, "connect_timeout"),
            ("Limits", upstream.Limits, "circuit_breakers"),
            ("PassiveHealthCheck", upstream.PassiveHealthCheck, "outlier_detection"),
        ),
        source,
        notes,
    )


def laid_over(*layers: tuple[Override, ...]) -> tuple[Override, ...]:
    """Give one override for each field, sorted: that of the last layer that has one."""
    return tuple(sorted({one.field: one for layer in layers for one in layer}.values(), key=_field))


def _field(override: Override) -> str:
    return override.field


def _upstream(raw: msgspec.Raw, what: str, notes: list[str]) -> Upstream | None:
    try:
        return msgspec.json.decode(raw, type=Upstream | None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        notes.append(f"a part of {what} cannot be read")
        return None


def _gathered(stated: Iterable[tuple[str, Any, str]], source: str, notes: list[str]) -> tuple[Override, ...]:
    found = []
    for name, value, field in stated:
        try:
            read = _READERS[field](value) if value not in (None, "") else None
        except Flaw as flaw:
            notes.append(f"{name} {flaw}")
            continue
        if read is not None:
            found.append(Override(field=field, value=read, source=source))
    return laid_over(tuple(found))


def _protocol(value: Any) -> Any:
    known = PROTOCOLS.get(value.lower()) if isinstance(value, str) else None
    if known is None:
        raise Flaw(f"{shown(str(value))} is not known")
    return known


def _milliseconds(value: Any) -> float:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        number = int(value[:12])
    if number is None or not 0 <= number <= MAX_UINT32:
        raise Flaw(f"{shown(str(value))} is no number of milliseconds")
    return number / 1000


def _connect_timeout(value: Any) -> float | None:
    return _milliseconds(value) or None


def _circuit_breakers(limits: LimitsShape) -> CircuitBreakers | None:
    found = CircuitBreakers(
        max_connections=_count(limits.MaxConnections, "MaxConnections"),
        max_pending_requests=_count(limits.MaxPendingRequests, "MaxPendingRequests"),
        max_requests=_count(limits.MaxConcurrentRequests, "MaxConcurrentRequests"),
    )
    return None if found == CircuitBreakers() else found


def _outlier_detection(check: HealthShape) -> OutlierDetection:
    return OutlierDetection(
        interval=_span(check.Interval, "Interval"),
        consecutive_5xx=_count(check.MaxFailures, "MaxFailures"),
        enforcing_consecutive_5xx=_percentage(check.EnforcingConsecutive5xx, "EnforcingConsecutive5xx"),
        max_ejection_percent=_percentage(check.MaxEjectionPercent or None, "MaxEjectionPercent"),
        base_ejection_time=_span(check.BaseEjectionTime or 0, "BaseEjectionTime"),
    )


def _count(value: int | None, what: str) -> int | None:
    if value is not None and not 0 <= value <= MAX_UINT32:
        raise Flaw(f"has a {what} of {value}, which is left out with the rest of it")
    return value or None


def _percentage(value: int | None, what: str) -> int | None:
    if value is not None and not 0 <= value <= _PERCENT:
        raise Flaw(f"has an {what} of {value}, which is no percentage")
    return value


def _span(value: GoDuration, what: str) -> float | None:
    found = seconds(value, what)
    return found if found > 0 else None


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "protocol": _protocol,
    "connect_timeout": _connect_timeout,
    "request_timeout": _milliseconds,
    "circuit_breakers": _circuit_breakers,
    "outlier_detection": _outlier_detection,
}
