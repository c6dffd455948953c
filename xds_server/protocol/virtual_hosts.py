"""The names by which a client asks for virtual hosts that it needs (VHDS, xDS protocol "Aliases").

Envoy asks for `<route configuration>/<Host header>`, whatever a caller has put into that header, once for
each spelling, and lets the caller's request wait until an answer carries the very name as an alias (P-084).
"""

from collections.abc import Callable, Collection, Container, Iterable
from typing import Final

from xds_server.translate.names import virtual_host_of

MAX_NAME: Final = 600
MAX_ABSENT: Final = 20_000
"""Names of virtual hosts that do not exist are remembered, as they may come to exist; so many of them."""


class AskedNames:
    """What was asked for and not answered yet: the virtual host's own name, and the names it was asked by."""

    def __init__(self) -> None:
        self._asked: dict[str, set[str]] = {}

    def ask(self, names: Iterable[str], known: Collection[str], exists: Callable[[str], bool]) -> list[str]:
        """Take names as the client wrote them; give the own names of those to be remembered.

        `known` are the own names remembered before. Whatever a caller of an Envoy makes up must not end the
        Envoy's stream: a name that is too long, or one too many, is only ever answered by "there is none".
        """
        own_names = []
        for asked in names:
            own = virtual_host_of(asked)
            self._asked.setdefault(own, set()).add(asked)
            if own in known or exists(own) or (len(own) <= MAX_NAME and len(known) < MAX_ABSENT):
                own_names.append(own)
        return own_names

    def take(self, name: str) -> list[str]:
        """Give the names that a virtual host was asked by, to be answered now."""
        return sorted(self._asked.pop(name, ()))

    def take_absent(self, present: Container[str]) -> list[str]:
        """Give the names, as they were asked, of all that is still to be answered and not `present`."""
        absent = [name for name in sorted(self._asked) if name not in present]
        return [asked for name in absent for asked in self.take(name)]
