"""Everything that is read from files while the server runs: the catalog file, secrets, and their changes."""

from xds_server.files.catalog import CatalogFileError, CatalogFileSource, read_catalog
from xds_server.files.pem import SecretError, read_secret
from xds_server.files.secrets import SecretsSource
from xds_server.files.watch import file_changes

__all__ = [
    "CatalogFileError",
    "CatalogFileSource",
    "SecretError",
    "SecretsSource",
    "file_changes",
    "read_catalog",
    "read_secret",
]
