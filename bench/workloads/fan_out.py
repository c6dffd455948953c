"""Fan-out: one endpoint changes, and every stream is sent it.

The state is one service whose assignment has 1 kB, 30 kB or 1 MB, and all streams hold it; one instance
moves to another port. The whole assignment goes to every stream, in both variants. "spread" is the same
amount of state over many services of which one changes: 1 kB goes to every stream.

One change at a time: the next one when every stream has answered the one before, and 0.1 s later. All servers
are up together, each with a crowd of its own, and have their turns (A B C A B C ...). A trial is a row of
changes.

    CPU per push and ACK        processor time of the server's process (user and kernel) over the row, for
                                each push to a stream; what idle streams cost is in it, for the 0.1 s
    change to last received     from the change to the moment the last stream had it whole
    change to last ACK          the same until the last stream had written its ACK
"""

from dataclasses import dataclass
from typing import Final

from bench.figures import Case as Words
from bench.figures import Result
from bench.run import Row, Run, in_turn
from bench.servers import Estate

_SPREAD: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is held: so many services of so many instances (an endpoint takes some 30 bytes), and by whom.

    In a row of changes one endpoint moves away and back so many `turns`.
    """

    state: str
    services: int
    instances: int
    streams: int
    variant: str
    turns: int = 2

    @property
    def words(self) -> Words:
        """The case as the tables have it."""
        return {"state": self.state, "streams": self.streams, "variant": self.variant}


def _cases(run: Run) -> list[Case]:
    one = {"1 kB": (1, 33), "30 kB": (1, 1_000), "1 MB": (1, 34_000)}
    spread = {"30 kB spread": (_SPREAD, 33), "1 MB spread": (1_000, 33)}
    chosen = run.choose(
        [
            ("1 kB", 100, "delta"),
            ("1 kB", 1_000, "delta"),
            ("30 kB", 1_000, "delta"),
            ("30 kB", 1_000, "sotw"),
            ("1 MB", 200, "delta"),
            ("1 MB spread", 200, "delta"),
        ],
        [
            *((state, streams, "delta") for state in ("1 kB", "30 kB") for streams in (100, 1_000, 2_000)),
            ("1 MB", 200, "delta"),
            ("30 kB spread", 1_000, "delta"),
            ("1 MB spread", 200, "delta"),
            *((state, 1_000, "sotw") for state in ("1 kB", "30 kB")),
            ("1 MB", 200, "sotw"),
            ("30 kB spread", 1_000, "sotw"),
            ("1 MB spread", 200, "sotw"),
        ],
    )
    return [
        Case(
            state=state,
            services=(one | spread)[state][0],
            instances=(one | spread)[state][1],
            streams=streams,
            variant=variant,
            turns=2 if state == "1 kB" else 1,
        )
        for state, streams, variant in chosen
    ]


async def run(run: Run) -> None:
    """Run all cases."""
    for case in _cases(run):
        with run.attempt(f"{case.state}, {case.streams} streams, {case.variant}"):
            await measure(run, case, run.choose(10.0, 40.0))


async def measure(run: Run, case: Case, seconds: float) -> None:
    """Run one case for so many seconds, and note its figures."""
    crowding = run.crowding(case.streams, variant=case.variant)
    estate = Estate(services=case.services, instances=case.instances)
    async with (
        run.servers(estate, [case.services // 2]) as (servers, (away, back)),
        run.crowds(servers, crowding) as pairs,
    ):
        run.say("changes")
        rows = await in_turn(pairs, (away + back) * case.turns, seconds)
    words = case.words | {"streams": crowding.streams}
    for (server, _), found in zip(pairs, rows, strict=True):
        note(run.result, words, server.name, found)


def note(result: Result, words: Words, who: str, rows: list[Row]) -> None:
    """Note the figures of a server in a case."""
    result.add(words, who, "CPU per push and ACK", "ms", *(1000 * row.cpu / row.pushes for row in rows))
    result.add(words, who, "change to last received", "ms", *(one for row in rows for one in row.received))
    result.add(words, who, "change to last ACK", "ms", *(one for row in rows for one in row.acknowledged))
    result.add(words, who, "bytes to each stream", "B", rows[0].bytes / rows[0].pushes)
    generator = [1000 * row.generator / row.pushes for row in rows]
    result.add(words, who, "CPU of the load generator per push and ACK", "ms", *generator)
