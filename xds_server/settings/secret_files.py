"""The secrets of the settings file, and what may refer to them."""

from collections.abc import Mapping
from typing import Final

from xds_server.model.secret import SecretFiles
from xds_server.reading import child, did_you_mean, quoted
from xds_server.settings.addresses import is_name
from xds_server.settings.service_shape import set_fields
from xds_server.settings.shape import SecretShape
from xds_server.settings.sources import Sources

NAME_RULE: Final = "use letters, digits, dots, dashes and underscores, with a letter or digit at both ends"
_PARTNERS: Final = {"cert_file": "key_file", "key_file": "cert_file"}


class Secrets:
    """The secrets that the file names, for checking references to them."""

    def __init__(self, shapes: Mapping[str, SecretShape], sources: Sources) -> None:
        self._shapes = shapes
        self._sources = sources

    @property
    def with_key(self) -> str | None:
        """The first secret that has a private key, if any has."""
        return next((name for name in sorted(self._shapes) if self._shapes[name].key_file), None)

    def need_certificate(self, name: str, key: str) -> None:
        """Note if `name`, which stands at `key`, is not a secret with a certificate."""
        self._need(name, "cert_file", "certificate", key)

    def need_ca(self, name: str, key: str) -> None:
        """Note if `name`, which stands at `key`, is not a secret with a CA."""
        self._need(name, "ca_file", "CA", key)

    def _need(self, name: str, file: str, noun: str, key: str) -> None:
        shape = self._shapes.get(name)
        if shape is None:
            hint = did_you_mean(name, self._shapes) if self._shapes else "add it to secrets"
            self._sources.note(key, f"there is no secret {quoted(name)}; {hint}")
        elif not getattr(shape, file):
            self._sources.note(key, f"secret {quoted(name)} has no {noun}; give it {file}")

    def files(self) -> tuple[SecretFiles, ...]:
        """Give the files of every secret, sorted by name, paths relative to the settings file made whole."""
        return tuple(self._files(name) for name in sorted(self._shapes))

    def _files(self, name: str) -> SecretFiles:
        key = child("secrets", name)
        if not is_name(name):
            self._sources.note(key, f"{quoted(name)} is no name for a secret; {NAME_RULE}")
        paths = set_fields(self._shapes[name])
        if not paths:
            self._sources.note(key, "is empty; give it cert_file and key_file, or ca_file, or all three")
        for file, partner in _PARTNERS.items():
            if file in paths and partner not in paths:
                self._sources.note(
                    f"{key}.{file}", f"needs {partner} as well; a certificate and its key go together"
                )
        whole = {file: str(self._sources.path(f"{key}.{file}", path)) for file, path in paths.items()}
        return SecretFiles(name=name, source=self._sources.place(key), **whole)
