"""`python -m tests.fuzz [SECONDS [TARGET ...]]`: fuzz each target for so long."""

import os
import sys
import traceback
from random import SystemRandom

from tests.fuzz.target import Target, search
from tests.fuzz.targets import TARGETS

_NICE = 10


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Fuzz, print a line for each target, and give the exit code."""
    os.nice(_NICE)
    seconds = float(arguments[0]) if arguments else 60.0
    chosen = [target for target in TARGETS if not arguments[1:] or target.name in arguments[1:]]
    say(f"{'target':<16}{'inputs':>8}  failures")
    return max([_run(target, seconds) for target in chosen], default=0)


def _run(target: Target, seconds: float) -> int:
    try:
        tried = search(target, seconds, SystemRandom())
    except Exception:  # noqa: BLE001 - whatever it is, it is what was looked for
        say(f"{target.name:<16}{'':>8}  1")
        traceback.print_exc(limit=-8)
        say(f"Put the input into tests/fuzz/seeds/{target.name}/ under a name that tells what it is.")
        return 1
    say(f"{target.name:<16}{tried:>8}  0")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
