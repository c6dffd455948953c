"""Where the last good state is kept, and for how long it is good."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import UnsetType

from xds_server.settings.sources import Given, Sources

OFF: Final = "off"
_VARIABLE: Final = "STATE_DIRECTORY"


def of_systemd(environ: Mapping[str, str], lines: Mapping[str, int]) -> dict[str, Given]:
    """Give the directory that systemd made for us (`StateDirectory=`), which a settings file goes over.

    It sets the variable to a list with colons; the first is taken (systemd.exec(5)).
    """
    first = environ.get(_VARIABLE, "").partition(":")[0]
    if not first or "state_dir" in lines:
        return {}
    return {"state_dir": Given(first, f"environment {_VARIABLE}")}


def state_dir(text: str | UnsetType, sources: Sources) -> Path | None:
    """Give the directory; None for nowhere."""
    chosen = sources.text("state_dir") or text
    if isinstance(chosen, UnsetType) or chosen == OFF:
        return None
    return sources.path("state_dir", chosen)
