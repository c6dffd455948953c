"""Running commands, waiting for facts, and telling about it; every wait is bounded."""
# ruff: noqa: S603 - it runs docker and compose, as found on PATH

import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_STARTED = time.monotonic()


class TestFailedError(Exception):
    """One sentence that says what was expected and what happened."""


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"{time.monotonic() - _STARTED:6.1f} s  {text}", flush=True)


def run(*command: str, timeout: float, env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> str:
    """Run a command and give its standard output; raises TestFailedError with the end of what it said."""
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=timeout, env=env, cwd=cwd
        )
    except FileNotFoundError:
        raise TestFailedError(f"`{command[0]}` is not installed: install it and run this again.") from None
    except subprocess.TimeoutExpired:
        raise TestFailedError(f"`{' '.join(command[:4])}` did not end within {timeout:.0f} s.") from None
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise TestFailedError(f"`{' '.join(command[:4])}` ended with status {done.returncode}:\n{said}")
    return done.stdout


def wait_for(what: str, seconds: float, fact: Callable[[], bool], every: float = 0.1) -> float:
    """Wait until `fact` holds and give how long it took; raises TestFailedError after `seconds`."""
    begun = time.monotonic()
    while not fact():
        if time.monotonic() - begun > seconds:
            raise TestFailedError(f"{what} did not happen within {seconds:.0f} s.")
        time.sleep(every)
    return time.monotonic() - begun
