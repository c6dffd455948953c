"""Tags of Traefik: `traefik.http.routers.<name>.rule=...` and what goes with it, for HTTP.

https://doc.traefik.io/traefik/routing/providers/consul-catalog/ . Keys are the same in small and capital
letters. What cannot be honoured is a problem; a router is left out if what is not honoured might restrict it.
"""

import re
from types import MappingProxyType
from typing import Final

from xds_server.model.policy import Protocol
from xds_server.model.problem import Code, Problem
from xds_server.translate.words import values
from xds_server.translate.words.routers import HttpTags, asked_routes, not_honoured
from xds_server.translate.words.said import AskedRoute, Pieces, Said, Sign, Stated
from xds_server.translate.words.schema import CANARY, ENABLE
from xds_server.translate.words.values import Misfit, quoted

PREFIX: Final = "traefik."
"""What Traefik's tags begin with, in small letters."""
_PORT: Final = re.compile(
    r"(traefik\.http\.services\.[^.]+\.loadbalancer\.server\.port)=([0-9]{1,5})", re.IGNORECASE | re.ASCII
)
_OF_HTTP: Final = re.compile(r"traefik\.http\.(routers|services|middlewares)\.([^.@]{1,64})\.(.+)")

_FLAGS: Final = {"traefik.enable": ENABLE, "traefik.consulcatalog.canary": CANARY}
_CONNECT: Final = "traefik.consulcatalog.connect"
_SERVER: Final = "loadbalancer.server."


def is_its(tag: str) -> bool:
    """Tell whether a tag is Traefik's."""
    return tag[: len(PREFIX)].lower() == PREFIX


def without_own_port(tag: str, port: int) -> str:
    """Take the port out of a tag that says what the registration says as well.

    It adds nothing, and instances with ports of their own would all say different things.
    """
    found = _PORT.fullmatch(tag)
    return f"{found[1]}=" if found and int(found[2]) == port else tag


def read(service: str, pieces: Pieces) -> Said:
    """Read Traefik's tags of one registration."""
    reader = _Reader(service)
    for piece in pieces:
        if not piece.key and is_its(piece.text):
            reader.read(piece)
    reader.finish()
    return Said(
        words=MappingProxyType(reader.words),
        routes=MappingProxyType(reader.routes),
        closed=frozenset(reader.closed),
        problems=tuple(reader.problems),
    )


class _Reader:
    """Gathers what Traefik's tags come to."""

    def __init__(self, service: str) -> None:
        self.words: dict[str, Stated] = {}
        self.routes: dict[str, AskedRoute] = {}
        self.closed: set[str] = set()
        self.problems: list[Problem] = []
        self._routers: dict[str, dict[str, tuple[str, Sign]]] = {}
        self._services: dict[str, dict[str, tuple[str, Sign]]] = {}
        self._middlewares: dict[str, dict[str, tuple[str, Sign]]] = {}
        self._tags = HttpTags(
            service=service, routers=self._routers, services=self._services, middlewares=self._middlewares
        )
        self._twice: list[Sign] = []
        self._in_mesh = False

    def read(self, piece: Sign) -> None:
        """Read one tag."""
        key, _, value = piece.text.partition("=")
        key = key.lower()
        if key in _FLAGS:
            self._flag(_FLAGS[key], value.lower(), piece)
        elif key == _CONNECT:
            self._in_mesh = value.lower() != "false"
        elif found := _OF_HTTP.fullmatch(key):
            by_kind = {"routers": self._routers, "services": self._services, "middlewares": self._middlewares}
            options = by_kind[found[1]].setdefault(found[2], {})
            if options.setdefault(found[3], (value, piece))[0] != value:
                self._twice.append(piece)
        else:
            self._note(piece, "is not understood; only HTTP routers, services and middlewares are")

    def finish(self) -> None:
        """Put together what was read."""
        for options in self._services.values():
            self._service(options)
        for name in sorted(self._routers):
            self._router(name)

    def _flag(self, word: str, value: str, piece: Sign) -> None:
        try:
            self.words.setdefault(word, Stated(value=values.boolean(value), sign=piece))
        except Misfit as misfit:
            self._note(piece, f"{quoted(value)} {misfit}; it is not used")

    def _service(self, options: dict[str, tuple[str, Sign]]) -> None:
        for option, (value, sign) in sorted(options.items()):
            if option == f"{_SERVER}scheme" and value == "h2c":
                self.words.setdefault("protocol", Stated(value=Protocol.HTTP2, sign=sign))
            elif option == f"{_SERVER}weight":
                self._note(sign, "is not honoured; give the registration Weights instead")
            elif option not in (f"{_SERVER}port", f"{_SERVER}scheme"):
                self._note(sign, "is not honoured; the service is served without it")

    def _router(self, name: str) -> None:
        options = self._routers[name]
        sign = (options.get("rule") or next(iter(options.values())))[1]
        key = f"traefik.http.routers.{name}"
        try:
            self._check()
            self.routes[key] = AskedRoute(routes=asked_routes(name, self._tags), sign=sign)
        except Misfit as misfit:
            self.closed.add(key)
            self._note(sign, f"router {quoted(name)} {misfit}; it is left out")
            return
        for other, sentence in not_honoured(name, self._tags):
            self._note(other, sentence)

    def _check(self) -> None:
        if self._in_mesh:
            raise Misfit("is for an instance of the mesh, which a plain route cannot reach")
        if self._twice:
            raise Misfit(f"cannot be told, as {self._twice[0]} is there twice and differs")

    def _note(self, sign: Sign, sentence: str) -> None:
        source = f"service {quoted(self._tags.service)} {sign}"
        self.problems.append(Problem(code=Code.DIALECT_UNSUPPORTED, source=source, sentence=sentence))
