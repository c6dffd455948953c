"""An Envoy that is asked whether it would load a configuration: a short-lived process on a short leash."""

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from xds_server.preflight.bootstrap import bootstrap
from xds_server.runtime.vetting import CannotTellError
from xds_server.snapshot import Resource

_FLAGS: Final = ("--mode", "validate", "--disable-hot-restart", "--log-level", "error")
_MOST_OUTPUT: Final = 64 * 1024
_MOST_SENTENCE: Final = 500

_LONGEST: Final = 2.0
_LONGEST_EACH: Final = 0.002
"""Seconds an answer may take: about four times what it takes for that many resources on one slow core."""

# Nothing it does needs more: no core dump, no file to speak of, few of them open.
_LIMITS: Final = (
    (resource.RLIMIT_CORE, 0),
    (resource.RLIMIT_FSIZE, 1024 * 1024),
    (resource.RLIMIT_NOFILE, 1024),
)


class EnvoyCheck:
    """Asks the Envoy binary `name`, a path or what is looked for on PATH; one at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._turn = asyncio.Lock()

    async def __call__(self, resources: Sequence[Resource]) -> str:
        """Give what Envoy has against loading the resources together; empty if nothing.

        Raises CannotTellError where there is no such binary, or it gives no answer in time.
        Source: Envoy, "Command line options", `--mode validate`.
        """
        async with self._turn:
            content = await asyncio.to_thread(bootstrap, resources)
            with tempfile.TemporaryDirectory(prefix="xds-preflight-") as directory:
                # By the end of the name Envoy knows what it reads.
                file = Path(directory) / "bootstrap.pb"
                file.write_bytes(content)
                return await self._ask(file, _LONGEST + _LONGEST_EACH * len(resources))

    async def _ask(self, file: Path, seconds: float) -> str:
        binary = shutil.which(self._name)
        if binary is None:
            raise CannotTellError(f"there is no Envoy {self._name!r}; name one with the setting envoy")
        process = await asyncio.create_subprocess_exec(
            binary,
            *_FLAGS,
            "--config-path",
            str(file),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Neither its environment nor its working directory is any of its business.
            env={},
            cwd=file.parent,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(seconds):
                _restrain(process.pid)
                output = await _read(process)
                status = await process.wait()
        except TimeoutError:
            raise CannotTellError(f"{binary} gave no answer within {seconds:.1f} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if status == 0:
            return ""
        if status < 0:
            raise CannotTellError(f"{binary} was ended by signal {-status}")
        return _sentence(output)


def _restrain(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        for limit, most in _LIMITS:
            resource.prlimit(pid, limit, (most, most))


async def _read(process: asyncio.subprocess.Process) -> str:
    """Give the output, or its beginning where it goes on and on."""
    assert process.stdout is not None, "it was asked for"  # noqa: S101 - for the type
    kept = b""
    while part := await process.stdout.read(_MOST_OUTPUT):
        kept = (kept + part)[:_MOST_OUTPUT]
    return kept.decode(errors="replace")


def _sentence(output: str) -> str:
    """Give what Envoy says after it has told where in its own code, and of which file, it says so."""
    _, found, said = output.partition("error initializing configuration")
    words = " ".join((said.partition("': ")[2] if found else output).split())
    return words[:_MOST_SENTENCE] or "it gave no reason"
