"""Traefik's routers of one registration, with the middlewares and services that they name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from xds_server.model.route import PathMatch, Treatment
from xds_server.translate.words import values
from xds_server.translate.words.routes import stripped
from xds_server.translate.words.rule import Way, ways
from xds_server.translate.words.said import Asked, Sign
from xds_server.translate.words.values import Misfit, quoted

_MOST_LISTENERS: Final = 8

Options: TypeAlias = Mapping[str, tuple[str, Sign]]
"""What is written about one router, service or middleware: by the rest of the key, in small letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTags:
    """Everything below `traefik.http` of one registration of `service`, by name."""

    service: str
    routers: Mapping[str, Options]
    services: Mapping[str, Options]
    middlewares: Mapping[str, Options]


_OURS: Final = "@consulcatalog"
# Kinds of middlewares without which a route serves the same requests to the same clients.
_HARMLESS: Final = frozenset({"compress", "retry", "contenttype", "circuitbreaker"})
_READ: Final = frozenset({"rule", "priority", "entrypoints", "middlewares", "service", "rulesyntax"})
_LISTED: Final = ("observability.", "tls.certresolver", "tls.domains")


def not_honoured(name: str, tags: HttpTags) -> Iterator[tuple[Sign, str]]:
    """Give what a router is served without, with the end of a sentence."""
    for option, (_, sign) in sorted(tags.routers[name].items()):
        if option.startswith(_LISTED):
            yield sign, "is not honoured; the route is served without it"
    for middleware, kind, (_, sign) in _kinds(name, tags):
        if kind in _HARMLESS:
            yield sign, f"middleware {quoted(middleware)} is not honoured; the route is served without it"


def asked_routes(name: str, tags: HttpTags) -> tuple[Asked, ...]:
    """Give the routes that a router asks for. Raises `Misfit` where it cannot be served as it is meant."""
    router = {option: value for option, (value, _) in tags.routers[name].items()}
    for option in sorted(router.keys() - _READ):
        _check_option(option, router)
    if "rule" not in router:
        raise Misfit("has no rule; without one the service is reached by its name")
    _check_service(router.get("service", ""), tags)
    strip, before = _path_changes(name, tags)
    priority = values.priority(router["priority"]) if "priority" in router else 0
    plain = [_route(way, strip, before, priority) for way in ways(router["rule"])]
    return tuple(replace(route, listener=listener) for listener in _listeners(router) for route in plain)


def _check_option(option: str, router: Mapping[str, str]) -> None:
    if option.startswith("observability.") or (option == "tls" and router["tls"].lower() == "false"):
        return
    if option != "tls" and not option.startswith(_LISTED):
        raise Misfit(f"has the option {quoted(option)}, which is not understood")
    if not router.get("entrypoints"):
        raise Misfit(
            "is for TLS only and names no entrypoints; name the listener with TLS that it is for, "
            "so that it is not served in clear"
        )


def _listeners(router: Mapping[str, str]) -> tuple[str, ...]:
    """Give the listeners of a router: those called as its entry points, or every one."""
    if "entrypoints" not in router:
        return ("",)
    named = tuple(dict.fromkeys(one.strip() for one in router["entrypoints"].split(",")))
    if len(named) > _MOST_LISTENERS:
        raise Misfit(f"has more than {_MOST_LISTENERS} entrypoints")
    return tuple(values.listener(one) for one in named)


def _check_service(named: str, tags: HttpTags) -> None:
    """Make sure that a router leads to the service that is registered, on its port."""
    known = {name.lower(): options for name, options in tags.services.items()}
    wanted = named.removesuffix(_OURS).lower()
    if not wanted and len(known) > 1:
        raise Misfit("does not say which of several services it leads to")
    if wanted and wanted not in {*known, tags.service.lower()}:
        raise Misfit(f"leads to {quoted(named)}, which is not this service")
    for name, options in known.items():
        if wanted not in ("", name):
            continue
        if options.get("loadbalancer.server.port", ("", None))[0]:
            raise Misfit(
                "leads to a port that is not the registered one; register the service with that port"
            )
        scheme = options.get("loadbalancer.server.scheme", ("http", None))[0]
        if scheme not in ("http", "h2c"):
            raise Misfit(
                f"leads to instances by {quoted(scheme)}, and TLS to instances needs a CA: set "
                "services.NAME.tls in the settings and write the route there or as xds-route"
            )


# --- middlewares -------------------------------------------------------------------------------------


def _kinds(name: str, tags: HttpTags) -> Iterator[tuple[str, str, tuple[str, Sign]]]:
    """Give the middlewares of a router in order: name, kind (empty if it is not known), value and sign."""
    given, sign = tags.routers[name].get("middlewares", ("", Sign(key="", text="")))
    for one in (one.strip() for one in given.split(",") if one.strip()):
        options = tags.middlewares.get(one.removesuffix(_OURS).lower(), {})
        kinds = {option.partition(".")[0] for option in options}
        if len(kinds) == 1:
            yield one, kinds.pop(), next(iter(options.values()))
        else:
            yield one, "", ("", sign)


def _path_changes(name: str, tags: HttpTags) -> tuple[tuple[str, ...], str]:
    """Give the prefixes of which one is taken off the path, and what is put before it then."""
    strip: tuple[str, ...] = ()
    before = ""
    for middleware, kind, (value, sign) in _kinds(name, tags):
        option = sign.text.partition("=")[0].lower()
        if kind in _HARMLESS:
            continue
        if option.endswith(".stripprefix.prefixes") and not strip and not before:
            strip = tuple(values.target(one.strip()) for one in value.split(","))
        elif option.endswith(".addprefix.prefix") and not before:
            before = values.target(value)
        else:
            raise Misfit(
                f"has the middleware {quoted(middleware)}, which is not understood and may restrict it"
            )
    return strip, before


def _route(way: Way, strip: tuple[str, ...], before: str, priority: int) -> Asked:
    rewrite = None
    if strip or before:
        path = way.path or PathMatch()
        rewrite = stripped(path, _off(path, strip), before)
    return Asked(
        host=way.host or "*",
        match=way.match,
        treatment=Treatment(prefix_rewrite=rewrite),
        priority=priority,
    )


def _off(path: PathMatch, strip: tuple[str, ...]) -> str:
    """Give the prefix that is taken off every path that matches."""
    if not strip:
        return ""
    off = next((one for one in strip if path.value.startswith(one)), None)
    if off is None or any(one.startswith(path.value) and one != off for one in strip):
        raise Misfit("takes off a prefix that not every one of its paths begins with")
    return off
