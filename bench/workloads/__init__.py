"""The workloads, by the name they are called with: each says in its docstring what is measured, and how."""

import importlib
from collections.abc import Awaitable, Callable
from typing import Final

from bench.run import Run

MODULES: Final = {
    "W0": "real_envoys",
    "W1": "fan_out",
    "W2": "churn",
    "W3": "cold_start",
    "W4": "one_among_many",
    "W5": "herd",
    "W6": "groups",
    "W7": "end_to_end",
    "W8": "memory",
    "W9": "polling",
}


def workload(name: str) -> tuple[str, Callable[[Run], Awaitable[None]]]:
    """Give the title of a workload, which is the first line of its docstring, and what runs it."""
    module = importlib.import_module(f"bench.workloads.{MODULES[name]}")
    title = (module.__doc__ or "").partition("\n")[0]
    return title, module.run
