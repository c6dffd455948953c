"""Run a command that dies with whoever started it: `python leash.py PARENT_PID COMMAND ARGUMENT...`.

The demo starts each of its processes through this file, so that not even `kill -9` of the demo leaves one of
them behind. The process becomes the command (same pid). It imports nothing of this package: it has to be up
in milliseconds. Where the kernel is not Linux there is no such leash, and it only becomes the command.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)


def main(parent: int, command: list[str]) -> None:
    """Ask for the kill at the parent's death, then become the command; exits with 127 if it cannot be run."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The parent may have died before the line above; then nobody would ever pull the leash.
        if os.getppid() != parent:
            sys.exit(1)
    try:
        os.execv(command[0], command)  # noqa: S606 - becoming the command is the purpose
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be run: {error.strerror}.\n")
        sys.exit(127)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
