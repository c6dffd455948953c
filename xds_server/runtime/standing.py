"""Groups that follow the inputs together: a change costs the groups that it concerns, and the others nothing.

There may be a thousand gateways, each of which reads ten services. To ask each of them what a change is to it
takes more time than to build the ten that it concerns.
"""

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from xds_server.translate import Known, Standpoint, only_services_differ

if TYPE_CHECKING:
    from collections.abc import Collection

    from xds_server.runtime.line import Inputs, Line


class Standing:
    """All lines: those that serve what is made of `inputs`, and those that stand `alone`.

    A line that a step may concern is let go, at the inputs before it; to all others the new ones are what
    they are made of, without that anything is done for them.
    """

    def __init__(self) -> None:
        self.inputs: Inputs | None = None
        self.alone: dict[Line, None] = {}
        self._at: Standpoint | None = None
        self._reads: dict[Line, frozenset[str]] = {}
        self._readers: defaultdict[str, set[Line]] = defaultdict(set)
        self._moved: asyncio.Event | None = None

    def add(self, line: "Line") -> None:
        """Take in a line that is new."""
        self.alone[line] = None

    def drop(self, line: "Line") -> None:
        """Forget a line."""
        if line.stands:
            self.leave(line)
        del self.alone[line]

    def move(self, inputs: "Inputs", known: Known | None) -> None:
        """Go on to these inputs; where nothing is `known` of their catalog, let everyone go."""
        if not inputs.same(self.inputs):
            for line in self._concerned(inputs, known):
                self.leave(line)
            self._at = self._moved_to(known, inputs)
        self.inputs = inputs
        if self._moved is not None:
            self._moved.set()
            self._moved = None

    def take(self, line: "Line") -> None:
        """Take a line in, if it is at the inputs and nothing but single services matters to it."""
        if line not in self.alone or self._at is None or self.inputs is None:
            return
        is_here = self.inputs.same(line.made) and self.inputs.same(line.tried)
        if is_here and (reads := line.translator.reads) is not None:
            del self.alone[line]
            self._reads[line] = reads
            for name in reads:
                self._readers[name].add(line)
            line.translator.stand(self._at)
            line.stand(self)

    def leave(self, line: "Line") -> None:
        """Let a line go; it is at the inputs from now on as if it had been asked about each step."""
        for name in self._reads.pop(line):
            readers = self._readers[name]
            readers.discard(line)
            if not readers:
                del self._readers[name]
        self.alone[line] = None
        line.stand(None)
        if self._at is not None:
            line.translator.stand(Standpoint(self._at.known, self._at.catalog))

    async def moved(self) -> None:
        """Wait for the next step."""
        self._moved = self._moved or asyncio.Event()
        await self._moved.wait()

    def _concerned(self, inputs: "Inputs", known: Known | None) -> "Collection[Line]":
        """Give the lines to which these inputs may be others than those before."""
        before, at = self.inputs, self._at
        if before is None or at is None or known is None:
            return tuple(self._reads)
        alike = (
            inputs.policy is before.policy
            and known.material is at.known.material
            and inputs.catalog.problems == at.catalog.problems
            and only_services_differ(at.catalog, inputs.catalog)
        )
        if not alike:
            return tuple(self._reads)
        names = known.step(at.known).names & self._readers.keys()
        return {line for name in names for line in self._readers[name]}

    def _moved_to(self, known: Known | None, inputs: "Inputs") -> Standpoint | None:
        """Give the standpoint of all that stand, which is one object: to move it moves them."""
        if known is None or self._at is None:
            return None if known is None else Standpoint(known, inputs.catalog)
        self._at.known, self._at.catalog = known, inputs.catalog
        return self._at
