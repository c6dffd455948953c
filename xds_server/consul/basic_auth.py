"""Basic authentication (RFC 7617), for a proxy before Consul."""

import base64
from collections.abc import Mapping
from pathlib import Path

from xds_server.consul.token import SecretFile, fit_for_a_header


class BasicAuth:
    """The header for `user:password`, given or the content of a file, which is read again when it changes."""

    def __init__(self, pair: str, file: Path | None) -> None:
        self._pair = pair
        self._file = SecretFile(file, "basic auth") if file is not None else None

    def header(self) -> Mapping[str, str]:
        """Give the header, none if there are no credentials. Raises ConsulError."""
        pair = self._file.read() if self._file is not None else fit_for_a_header(self._pair, "basic auth")
        return {"Authorization": f"Basic {_encoded(pair)}"} if pair else {}

    def secrets(self) -> tuple[str, ...]:
        """Give what must not be shown."""
        pair = self._file.read() if self._file is not None else self._pair
        return (_encoded(pair), pair.partition(":")[2]) if pair else ()


def _encoded(pair: str) -> str:
    # As Go does it, a name alone is a name with an empty password.
    return base64.b64encode((pair if ":" in pair else f"{pair}:").encode()).decode()
