"""TLS material as it is served by SDS, and the token for Consul. Neither ever shows in a repr or a log."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from xds_server.model.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A certificate chain with its private key, a CA bundle, or both, each as PEM bytes.

    Empty bytes mean: not given. A certificate without its key does not occur; the reader of the files
    checked that the two belong together.
    """

    name: str
    certificate_chain: bytes = b""
    private_key: bytes = field(default=b"", repr=False)
    trusted_ca: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFiles:
    """Where a secret is read from: paths of PEM files, empty for not given; `source` says who asked for it.

    A certificate file comes with a key file, and the other way round.
    """

    name: str
    cert_file: str = ""
    key_file: str = ""
    ca_file: str = ""
    source: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that are given."""
        return tuple(path for path in (self.cert_file, self.key_file, self.ca_file) if path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Every secret that can be served, and why others cannot (or are served as they were before)."""

    by_name: Mapping[str, Secret] = field(default_factory=lambda: MappingProxyType({}))
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, empty for none. `value` has to be asked for by name; printing it shows stars."""

    value: str = field(default="", repr=False)

    def __str__(self) -> str:
        return "***" if self.value else ""

    def __bool__(self) -> bool:
        return bool(self.value)
