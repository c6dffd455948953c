"""The side of a child in the conversation of `bench.child`: what it is told to do, and what it tells."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

Said: TypeAlias = dict[str, Any]
Orders: TypeAlias = Mapping[str, Callable[[Said], Awaitable[None] | None]]
"""What is done at each `do`; it tells the answer itself, with the `id` it was given."""


def say(event: str, **fields: Any) -> None:
    """Tell the orchestrator."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


async def obey(orders: Orders) -> None:
    """Do what is said, one after the other, until it is `stop` or standard input ends."""
    reader = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async for line in reader:
        said = json.loads(line)
        if said["do"] == "stop":
            return
        try:
            waiting = orders[said["do"]](said)
            if waiting is not None:
                await waiting
        except Exception as error:  # noqa: BLE001 - the orchestrator has to hear of it
            say("error", id=said["id"], error=repr(error))
