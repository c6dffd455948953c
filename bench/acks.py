"""Knowing when the server takes an ACK."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from xds_server.model.types import TypeUrl
from xds_server.protocol import Answer
from xds_server.protocol.machine import Machine


class Acks:
    """Hears the answer to every response, on all streams of this process, while it is open.

    with Acks() as acks:
        taken = acks.next(TypeUrl.ENDPOINTS)
        inputs.catalog.publish(...)
        await taken
    """

    def __init__(self) -> None:
        self.count = 0
        """How many responses were acknowledged."""
        self._waiting: list[tuple[Callable[[Answer], bool], asyncio.Future[None]]] = []
        self._receive = Machine.receive

    def __enter__(self) -> Self:
        def heard(machine: Machine, request: Any, at: float) -> Answer | None:
            answer = self._receive(machine, request, at)
            # Without a nonce it tells of what a client has from another stream.
            if answer is not None and answer.nonce:
                self._hear(answer)
            return answer

        # Time is taken here, in the clock of the bench, which is finer than the times of the answers.
        Machine.receive = heard  # type: ignore[assignment, method-assign]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        Machine.receive = self._receive  # type: ignore[method-assign]

    def next(self, type_url: TypeUrl) -> asyncio.Future[None]:
        """Give what is done when the next response of a type is acknowledged. Fails if one is rejected."""
        return self._once(lambda answer: answer.type is type_url)

    def reaching(self, count: int) -> asyncio.Future[None]:
        """Give what is done when so many responses were acknowledged in all. Fails if one is rejected."""
        return self._once(lambda _: self.count >= count)

    def _once(self, fact: Callable[[Answer], bool]) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((fact, done))
        return done

    def _hear(self, answer: Answer) -> None:
        self.count += answer.error is None
        still_waiting = []
        for fact, done in self._waiting:
            if done.done():
                continue
            if answer.error is not None:
                done.set_exception(AssertionError(f"a response was rejected: {answer.error}"))
            elif fact(answer):
                done.set_result(None)
            else:
                still_waiting.append((fact, done))
        self._waiting = still_waiting
