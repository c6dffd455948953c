"""The settings of the log."""

from typing import get_args

from xds_server.reading import did_you_mean, quoted
from xds_server.settings.shape import LogForm, LogLevel, LogShape
from xds_server.settings.sources import Sources
from xds_server.settings.values import LogSettings


def log_settings(shape: LogShape, sources: Sources) -> LogSettings:
    """Lay flags and environment over the file's `log`."""
    return LogSettings(
        level=_choice(sources, "log.level", shape.level, get_args(LogLevel)),
        form=_choice(sources, "log.form", shape.form, get_args(LogForm)),
    )


def _choice(sources: Sources, key: str, from_file: str, choices: tuple[str, ...]) -> str:
    word = sources.text(key) or from_file
    if word not in choices:
        sources.note(key, f"{quoted(word)} is not known; {did_you_mean(word, choices)}")
    return word
