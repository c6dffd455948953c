"""What the figures were measured on: the machine, the versions, and how busy it was."""

import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

_PACKAGES: Final = ("grpcio", "protobuf", "xds-protos")


def machine() -> dict[str, Any]:
    """Give the machine, the versions of what is measured, the time, and the load average of now."""
    return {
        "at": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "load_average": round(os.getloadavg()[0], 2),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
            "go": said_by("go", "version").removeprefix("go version ").split(" ")[0],
        },
    }


def said_by(*command: str) -> str:
    """Give the first line a command prints; empty where it cannot be run."""
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip().partition("\n")[0]


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    if sys.platform != "linux" or not file.exists():
        return platform.processor()
    lines = (line.partition(":") for line in file.read_text().splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == "model name"), platform.machine())
