"""Where each value comes from: flags, then XDS_*, then CONSUL_*, then the file, then the defaults."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FLAGS: Final = {
    "listen": "xds.address",
    "admin": "admin.address",
    "catalog": "catalog",
    "state_dir": "state_dir",
    "workers": "workers",
    "consul": "consul.address",
    "log_level": "log.level",
    "log_form": "log.form",
}
XDS_ENVIRONMENT: Final = {
    "XDS_LISTEN": "xds.address",
    "XDS_ADMIN": "admin.address",
    "XDS_CATALOG": "catalog",
    "XDS_STATE_DIR": "state_dir",
    "XDS_WORKERS": "workers",
    "XDS_LOG_LEVEL": "log.level",
    "XDS_LOG_FORM": "log.form",
}
CONSUL_ENVIRONMENT: Final = {
    "CONSUL_HTTP_ADDR": "consul.address",
    "CONSUL_HTTP_TOKEN": "consul.token",
    "CONSUL_HTTP_TOKEN_FILE": "consul.token_file",
    "CONSUL_HTTP_AUTH": "consul.auth",
    "CONSUL_HTTP_SSL": "consul.ssl",
    "CONSUL_HTTP_SSL_VERIFY": "consul.tls.verify",
    "CONSUL_CACERT": "consul.tls.ca_file",
    "CONSUL_CAPATH": "consul.tls.ca_path",
    "CONSUL_CLIENT_CERT": "consul.tls.cert_file",
    "CONSUL_CLIENT_KEY": "consul.tls.key_file",
    "CONSUL_TLS_SERVER_NAME": "consul.tls.server_name",
    "CONSUL_NAMESPACE": "consul.namespace",
    "CONSUL_PARTITION": "consul.partition",
}

_OF_A_SERVICE: Final = re.compile(r'services(?:\.[^.\["]+|\["[^"]*"\])\.(.+)')
_LAST_STEP: Final = re.compile(r"\.?[^.\[]+$|\[[^\[]*\]$")


class SettingsError(Exception):
    """The settings cannot be used; `findings` holds one sentence for each thing that is wrong.

    Each begins with its place: `FILE:LINE: KEY`, `--FLAG` or the name of the environment variable.
    """

    def __init__(self, findings: tuple[str, ...]) -> None:
        self.findings = findings
        super().__init__("\n".join(findings))


@dataclass(frozen=True, slots=True)
class Given:
    """A value from outside the file, and who gave it: `flag --listen`, `environment XDS_LISTEN`."""

    text: str
    origin: str


def given(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> dict[str, Given]:
    """Give the strongest value from outside the file for each key; an empty variable counts as not set."""
    values: dict[str, Given] = {}
    for variables in (CONSUL_ENVIRONMENT, XDS_ENVIRONMENT):
        for variable, key in variables.items():
            if environ.get(variable):
                values[key] = Given(environ[variable], f"environment {variable}")
    for flag, text in flags.items():
        if text is not None:
            values[FLAGS[flag]] = Given(text, f"flag --{flag.replace('_', '-')}")
    return values


class Sources:
    """Tells who gave a value, and collects what is wrong with the values."""

    def __init__(self, values: Mapping[str, Given], file: Path | None, lines: Mapping[str, int]) -> None:
        self._values = values
        self._file = file
        self._lines = lines
        self._findings: list[tuple[int, str]] = []

    def text(self, key: str) -> str | None:
        """Give the text that a flag or the environment holds for `key`; None if neither does."""
        value = self._values.get(key)
        return value.text if value else None

    def origin(self, key: str) -> str:
        """Say who gave the value of `key`."""
        if key in self._values:
            return self._values[key].origin
        if self._file is not None and key in self._lines:
            return f"file {self._file.name}:{self._lines[key]}"
        inherited = _OF_A_SERVICE.fullmatch(key)
        return self.origin(f"defaults.{inherited[1]}") if inherited else "default"

    def path(self, key: str, text: str) -> Path:
        """Give a path as it is meant: what the file says is relative to the file."""
        if key in self._values or self._file is None:
            return Path(text)
        return self._file.parent / text

    def place(self, key: str) -> str:
        """Name an object of the file for the source of a problem: `x.yaml listeners[0] (line 31)`."""
        return f"{self._file.name if self._file else 'settings'} {key} (line {self._line(key)})"

    def _line(self, key: str) -> int:
        """Give the line of `key`, or of what it would stand in."""
        while key and key not in self._lines:
            key = _LAST_STEP.sub("", key)
        return self._lines.get(key, 1)

    def note(self, key: str, sentence: str) -> None:
        """Add what is wrong with the value of `key`."""
        if key in self._values:
            place = self._values[key].origin.partition(" ")[2]
            self._findings.append((0, f"{place}: {sentence}"))
        elif self._file is not None:
            line = self._line(key)
            self._findings.append((line, f"{self._file}:{line}: {key}: {sentence}"))
        else:
            self._findings.append((0, f"{key}: {sentence}"))

    def finish(self) -> None:
        """Raise `SettingsError` if anything is wrong."""
        if self._findings:
            # Sorting by line is stable, so findings about one line stay in the order they were made.
            raise SettingsError(tuple(text for _, text in sorted(self._findings, key=lambda one: one[0])))
