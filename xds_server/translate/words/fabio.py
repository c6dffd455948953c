"""Tags of fabio: `urlprefix-host/path option=value ...` (fabio's pages "Quickstart" and "Config Language").

What cannot be honoured is a problem. A route with an option that restricts it, or that is not known, is not
served at all: it would open what was closed.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from xds_server.model.policy import Protocol
from xds_server.model.problem import Code, Problem
from xds_server.model.route import RouteMatch, Treatment
from xds_server.translate.words import values
from xds_server.translate.words.routes import stripped
from xds_server.translate.words.said import Asked, AskedRoute, Pieces, Said, Sign, Stated
from xds_server.translate.words.schema import ENABLE
from xds_server.translate.words.values import Misfit, quoted

T = TypeVar("T")

PREFIX: Final = "urlprefix-"
"""What fabio's tags begin with."""

_PROTOCOLS: Final = {"http": None, "grpc": Protocol.GRPC, "tcp": Protocol.TCP}

# Options that change neither who may use a route nor where it leads.
_WITHOUT: Final = frozenset({"host", "register", "weight", "tlsskipverify", "grpcservername", "pxyproto"})
_READ: Final = frozenset({"strip", "prepend", "proto"})
_CLOSING: Final = {
    "allow": "restricts who may use it",
    "deny": "restricts who may use it",
    "auth": "asks for a login",
    "redirect": "answers with a redirect",
}


def is_its(tag: str) -> bool:
    """Tell whether a tag is fabio's."""
    return tag.startswith(PREFIX)


def read(service: str, pieces: Pieces) -> Said:
    """Read fabio's tags of one registration; a service that has one is enabled, as with fabio."""
    reader = _Reader(service)
    for piece in pieces:
        if not piece.key and is_its(piece.text):
            reader.read(piece)
    return Said(
        words=MappingProxyType(reader.words),
        routes=MappingProxyType(reader.routes),
        closed=frozenset(reader.closed),
        problems=tuple(reader.problems),
    )


class _Reader:
    """Gathers what fabio's tags come to."""

    def __init__(self, service: str) -> None:
        self._service = service
        self.words: dict[str, Stated] = {}
        self.routes: dict[str, AskedRoute] = {}
        self.closed: set[str] = set()
        self.problems: list[Problem] = []

    def read(self, piece: Sign) -> None:
        """Read one tag."""
        source, *given = piece.text.removeprefix(PREFIX).split() or [""]
        options = {name: value for name, _, value in (one.partition("=") for one in given)}
        self.words.setdefault(ENABLE, Stated(value=True, sign=piece))
        name = f"{PREFIX}{source}"
        try:
            protocol = _protocol(options)
            if protocol is not None:
                self.words.setdefault("protocol", Stated(value=protocol, sign=piece))
            for option in sorted(options):
                self._check(option, piece)
            asked = _asked(source, options)
        except Misfit as misfit:
            self.closed.add(name)
            self._note(piece, f"it {misfit}; the route is left out")
            return
        self.routes[name] = AskedRoute(routes=(asked,), sign=piece)

    def _check(self, option: str, piece: Sign) -> None:
        if option in _WITHOUT:
            self._note(piece, f"its option {option} is not honoured; the route is served without it")
        elif option not in _READ:
            raise Misfit(f"has the option {quoted(option)}, which {_CLOSING.get(option, 'is not known')}")

    def _note(self, piece: Sign, sentence: str) -> None:
        source = f"service {quoted(self._service)} {piece}"
        self.problems.append(Problem(code=Code.DIALECT_UNSUPPORTED, source=source, sentence=sentence))


def _protocol(options: Mapping[str, str]) -> Protocol | None:
    given = options.get("proto", "http")
    if given in ("https", "grpcs"):
        raise Misfit(
            f"has proto={given}, and TLS to instances needs a CA: set services.NAME.tls in the settings and "
            "write the route there or as xds-route"
        )
    if given not in _PROTOCOLS:
        raise Misfit(f"has proto={quoted(given)}, which is not one of {', '.join(_PROTOCOLS)}")
    return _PROTOCOLS[given]


def _asked(source: str, options: Mapping[str, str]) -> Asked:
    """Give the route of a tag: fabio compares paths character by character from the beginning."""
    host, slash, path = source.partition("/")
    if source.startswith(":"):
        raise Misfit(
            f"opens port {quoted(source[1:])}, which a registration cannot; "
            "add a listener with protocol tcp and this service to the settings"
        )
    if not slash:
        raise Misfit("has no slash, so it is not a route")
    match = _checked(values.prefix, f"/{path}")
    off, before = options.get("strip", ""), options.get("prepend", "")
    rewrite = None
    if off or before:
        off = _checked(values.target, off) if off else ""
        before = _checked(values.target, before) if before else ""
        rewrite = stripped(match, off, before)
    return Asked(
        host=_checked(values.host, host) if host else "*",
        match=RouteMatch(path=match),
        treatment=Treatment(prefix_rewrite=rewrite),
    )


def _checked(parse: Callable[[str], T], text: str) -> T:
    """Parse a part of a tag, and name that part where it does not fit."""
    try:
        return parse(text)
    except Misfit as misfit:
        raise Misfit(f"says {quoted(text)}, which {misfit}") from None
