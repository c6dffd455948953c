"""Everything that is read from files while the server runs: the catalog file, secrets, and their changes.

`pem`, which reads secrets, is imported where there are any: what it needs is slow to import.
"""

from xds_server.files.catalog import CatalogFileError, CatalogFileSource, read_catalog
from xds_server.files.secrets import SecretsSource
from xds_server.files.watch import file_changes

__all__ = [
    "CatalogFileError",
    "CatalogFileSource",
    "SecretsSource",
    "file_changes",
    "read_catalog",
]
