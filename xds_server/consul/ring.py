"""Several agents of one cluster, tried in turn: one is in use, and stays so for as long as it works."""

from collections.abc import Callable, Sequence

from xds_server.consul.errors import ConsulError, Cut, Unreachable
from xds_server.consul.transport import Reply, Request, Transport
from xds_server.telemetry import Event, log


class Ring:
    """Sends to the transport in use; where that one is unreachable, to the next, once round.

    With one transport its errors are given as they are.
    """

    def __init__(self, transports: Sequence[Transport]) -> None:
        self._transports = tuple(transports)
        self._at = 0
        self._answered_by: int | None = None

    @property
    def in_use(self) -> Transport:
        """The transport that the next request goes to first."""
        return self._transports[self._at]

    async def send(self, request: Callable[[int], Request]) -> tuple[int, Reply]:
        """Give the reply, and the number of the transport it came by, for which `request` made the request.

        Raises ConsulError: Unreachable, naming every address, after all were tried.
        """
        failed: dict[int, ConsulError] = {}
        while len(failed) < len(self._transports):
            at = self._next(failed)
            made = request(at)
            try:
                reply = await self._transports[at].send(made)
            except Unreachable as error:
                # A long poll that is cut says nothing of its agent: balancers cut them too.
                if len(self._transports) == 1 or (isinstance(error, Cut) and made.held > 0):
                    raise
                failed[at] = error
            else:
                self._is_used(at)
                return at, reply
        said = "; ".join(str(error).rstrip(".") for error in failed.values())
        raise Unreachable(f"none of the {len(failed)} Consul addresses can be used: {said}.")

    async def close(self) -> None:
        """End all connections."""
        for transport in self._transports:
            await transport.close()

    def _next(self, failed: dict[int, ConsulError]) -> int:
        """Give the transport to try; of many requests that failed at one, only the first moves all on."""
        if failed and self._at == list(failed)[-1]:
            self._at = (self._at + 1) % len(self._transports)
        at = self._at
        while at in failed:
            at = (at + 1) % len(self._transports)
        return at

    def _is_used(self, at: int) -> None:
        if len(self._transports) == 1 or at != self._at or at == self._answered_by:
            return
        before = "" if self._answered_by is None else self._transports[self._answered_by].base
        self._answered_by = at
        log(Event.CONSUL_ADDRESS_USED, address=self.in_use.base, instead_of=before)
