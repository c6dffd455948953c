"""The pure part of the server alone: from a catalog file and settings to what a client is served."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from xds_server.files import read_catalog
from xds_server.files.pem import SecretError, read_secret
from xds_server.model.problem import Code, Problem
from xds_server.model.proxy import Client, Group
from xds_server.model.secret import SecretFiles, Secrets
from xds_server.settings import Settings
from xds_server.snapshot import EMPTY, Snapshot, build
from xds_server.translate import Translator
from xds_server.translate.names import RESERVED_CLUSTERS

_GROUPS: Final = {
    Client.ENVOY: Group(on_demand=True, static_clusters=tuple(sorted(RESERVED_CLUSTERS))),
    Client.GRPC: Group(client=Client.GRPC),
}
"""Each kind of client with what it can do if its bootstrap is ours."""


def render(settings: Settings, catalog_file: Path, client: Client = Client.ENVOY) -> Snapshot:
    """Give the snapshot that the settings and a catalog file lead to for a client.

    Raises CatalogFileError where the file cannot be read; everything else that is wrong is among the
    snapshot's problems.
    """
    catalog = read_catalog(catalog_file)
    secrets = _secrets(settings.secret_files)
    translation = Translator(_GROUPS[client]).translate(catalog, settings.policy, secrets)
    return build(translation.drafts, translation.problems, EMPTY, translation.derived)


def _secrets(files: tuple[SecretFiles, ...]) -> Secrets:
    read, problems = {}, []
    for entry in files:
        try:
            read[entry.name] = read_secret(entry, datetime.now(UTC))
        except SecretError as error:
            problems.append(Problem(code=Code.SECRET_INVALID, source=entry.source, sentence=str(error)))
    return Secrets(by_name=read, problems=tuple(problems))
