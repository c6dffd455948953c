"""The settings file read again: when it changes, and at SIGHUP."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from xds_server import telemetry
from xds_server.app.hangup import each, hangups
from xds_server.files import SecretsSource, file_changes
from xds_server.model.policy import Policy
from xds_server.runtime.latest import Latest
from xds_server.settings import Settings, SettingsError
from xds_server.telemetry import Event, log

Loader: TypeAlias = Callable[[], Settings]
"""Reads the settings; raises SettingsError where they are refused."""


async def follow(settings: Settings, policy: Latest[Policy], secrets: SecretsSource, reload: Loader) -> None:
    """Take over a changed settings file: validate, then swap; a bad one leaves the old in force."""
    file = settings.file

    async def take() -> None:
        fresh = None if file is None else await asyncio.to_thread(_reload, reload, file)
        if fresh is not None:
            log(Event.SETTINGS_RELOADED, file=file, needs_restart=_needs_restart(settings, fresh))
            secrets.use(fresh.secret_files)
            policy.publish(fresh.policy)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(each(hangups(), take))
        if file is not None:
            tasks.create_task(each(file_changes([file]), take))


def _reload(reload: Loader, file: Path) -> Settings | None:
    """Read the settings again; None, and a line in the log, where they are refused."""
    try:
        if not file.stat().st_size:
            # An empty file is right at the start; here it is a file that somebody is about to write.
            raise SettingsError((f"{file}: it is empty; the settings stay as they are",))  # noqa: TRY301
        fresh = reload()
    except (SettingsError, OSError) as error:
        telemetry.SETTINGS_RELOADS.labels("refused").inc()
        log(Event.SETTINGS_REFUSED, logging.ERROR, error=error)
        return None
    telemetry.SETTINGS_RELOADS.labels("taken").inc()
    return fresh


def _needs_restart(old: Settings, new: Settings) -> str:
    """Name the settings that differ and take effect at the next start only."""
    fixed = (
        "consul",
        "catalog_file",
        "state_dir",
        "state_max_age",
        "xds",
        "workers",
        "admin",
        "log",
        "preflight",
        "envoy",
        "guards",
        "pace",
    )
    changed = [name for name in fixed if getattr(old, name) != getattr(new, name)]
    if old.policy.hidden_services != new.policy.hidden_services:
        changed.append("hidden_services")
    return ", ".join(changed)
