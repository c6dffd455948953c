"""Keeps the secrets as their files say, each in its last good version."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

from xds_server.files.watch import file_changes
from xds_server.model.problem import Code, Problem
from xds_server.model.secret import Secret, SecretFiles, Secrets
from xds_server.runtime.latest import Latest
from xds_server.telemetry import CERTIFICATE_EXPIRY, Event, log

# Certificate and key are two files: for a moment the new one of one stands beside the old one of the other.
_RETRY_AFTER: Final = (0.1, 0.1, 0.2, 0.2, 0.4)
# A certificate becomes valid, or expires, without any file changing.
_CHECK_AGAIN: Final = 60.0


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SecretsSource:
    """Reads secrets from files, and again when the files change or `use` names others.

    `now` is the clock that decides on validity, `check_again` the seconds after which it is asked again.
    """

    def __init__(
        self,
        files: tuple[SecretFiles, ...],
        *,
        now: Callable[[], datetime] = _utc_now,
        check_again: float = _CHECK_AGAIN,
    ) -> None:
        self._wanted = Latest(files)
        self._now = now
        self._check_again = check_again
        self._good: dict[str, Secret] = {}
        self._bad: dict[str, Problem] = {}
        self._changed = asyncio.Event()

    def use(self, files: tuple[SecretFiles, ...]) -> None:
        """Read these files from now on; a secret that stays keeps its last good version."""
        self._wanted.publish(files)

    async def run(self, secrets: Latest[Secrets]) -> None:
        """Publish the secrets, and again each time they change; never returns.

        A secret that cannot be read keeps its last good version and has a problem beside it.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(group))
            group.create_task(self._remind())
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._refresh(secrets)

    async def _watch(self, group: asyncio.TaskGroup) -> None:
        """Watch the files that are wanted at the time."""
        watching: asyncio.Task[None] | None = None
        async for files in self._wanted.values():
            if watching is not None:
                watching.cancel()
            watching = group.create_task(self._watch_files(files))

    async def _watch_files(self, files: tuple[SecretFiles, ...]) -> None:
        changes = file_changes({Path(path) for one in files for path in one.paths})
        self._changed.set()
        async for _ in changes:
            self._changed.set()

    async def _remind(self) -> None:
        while True:
            await asyncio.sleep(self._check_again)
            self._changed.set()

    async def _refresh(self, secrets: Latest[Secrets]) -> None:
        """Read everything; what can be read is published at once, what cannot is tried again first."""
        for delay in _RETRY_AFTER:
            failures = await self._read(secrets)
            if not any(name in self._good and name not in self._bad for name in failures):
                break
            await asyncio.sleep(delay)
        else:
            failures = await self._read(secrets)
        for name, problem in failures.items():
            if self._bad.get(name) != problem:
                log(Event.SECRET_REFUSED, logging.ERROR, secret=name, error=problem.sentence)
        self._bad = failures
        self._publish(secrets)

    async def _read(self, secrets: Latest[Secrets]) -> dict[str, Problem]:
        """Take over every secret that can be read; give the problems of the others."""
        failures: dict[str, Problem] = {}
        wanted = self._wanted.value or ()
        for files in wanted:
            from xds_server.files import pem  # noqa: PLC0415 - most servers have no secrets

            try:
                secret = await asyncio.to_thread(pem.read_secret, files, self._now())
            except pem.SecretError as error:
                failures[files.name] = _problem(files, str(error), kept=files.name in self._good)
            else:
                self._take(secret, pem.expiry(secret))
        self._forget(self._good.keys() - {files.name for files in wanted})
        self._bad = {name: problem for name, problem in self._bad.items() if name in failures}
        self._publish(secrets)
        return failures

    def _take(self, secret: Secret, expires: datetime | None) -> None:
        if self._good.get(secret.name) == secret:
            return
        self._forget(self._good.keys() & {secret.name})
        self._good[secret.name] = secret
        if expires is not None:
            CERTIFICATE_EXPIRY.labels(secret.name).set(expires.timestamp())
        log(Event.SECRET_RELOADED, secret=secret.name, expires=expires.isoformat() if expires else "")

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            secret = self._good.pop(name)
            if secret.certificate_chain:
                CERTIFICATE_EXPIRY.remove(name)

    def _publish(self, secrets: Latest[Secrets]) -> None:
        by_name = MappingProxyType({name: self._good[name] for name in sorted(self._good)})
        secrets.publish(Secrets(by_name=by_name, problems=tuple(sorted(self._bad.values()))))


def _problem(files: SecretFiles, error: str, *, kept: bool) -> Problem:
    outcome = "the version before it stays in force" if kept else "whatever needs it is left out"
    return Problem(
        code=Code.SECRET_INVALID,
        source=files.source or f'secret "{files.name}"',
        sentence=f"{error}; {outcome}",
    )
