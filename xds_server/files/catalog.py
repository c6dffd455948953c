"""The catalog from a YAML file: what Consul could say, including what it should not.

The types of the file are checked and everything in it is kept: whether an address, a port or a weight may
be used is decided where endpoints are made, as for Consul's answers.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from xds_server.files.watch import file_changes
from xds_server.model.catalog import (
    Catalog,
    Instance,
    Locality,
    Service,
    Status,
    Weights,
    is_service_name,
)
from xds_server.model.problem import Code, Problem
from xds_server.reading import Document, Finding, ReadError, child, quoted, read_document
from xds_server.runtime.latest import Latest
from xds_server.telemetry import Event, log

_LIMIT: Final = 64 * 1024 * 1024
# A DNS label, as in Consul's answers: it becomes part of the name of a cluster.
_PortName: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$")]
_STATUSES: Final = {status.value: status for status in Status}


class CheckShape(Struct, frozen=True):
    """A health check; a status that Consul does not know counts as critical."""

    id: str
    status: str


class WeightsShape(Struct, frozen=True):
    """The weights while passing and while warning."""

    passing: int = 1
    warning: int = 1


class LocalityShape(Struct, frozen=True):
    """Where an instance runs."""

    region: str = ""
    zone: str = ""
    sub_zone: str = ""


class TaggedShape(Struct, frozen=True):
    """An address for a purpose, as Consul's `lan` and `wan`."""

    address: str
    port: int = 0


class InstanceShape(Struct, frozen=True):
    """One instance of a service."""

    address: str
    port: int = 0
    id: str = ""
    node: str = ""
    datacenter: str = ""
    tags: tuple[str, ...] = ()
    meta: dict[str, str] = {}
    weights: WeightsShape = WeightsShape()
    checks: tuple[CheckShape, ...] = ()
    status: str = ""
    locality: LocalityShape = LocalityShape()
    tagged: dict[str, TaggedShape] = {}
    node_meta: dict[str, str] = {}
    ports: dict[_PortName, int] = {}
    created: int = 0


class ServiceShape(Struct, frozen=True):
    """A service."""

    instances: tuple[InstanceShape, ...] = ()


class CatalogShape(Struct, frozen=True):
    """The file as a whole."""

    services: dict[str, ServiceShape]
    datacenter: Annotated[str, Meta(min_length=1)] = "dc1"


class CatalogFileError(Exception):
    """The catalog file cannot be used; the text names file, line and key of everything that is wrong.

    `path`, `line` (0 for the file as a whole) and `sentence` are those of the first finding.
    """

    def __init__(self, path: Path, findings: tuple[Finding, ...]) -> None:
        self.path = path
        self.line = findings[0].line
        self.sentence = findings[0].sentence
        super().__init__("\n".join(finding.at(str(path)) for finding in findings))


def read_catalog(path: Path) -> Catalog:
    """Read the catalog file at `path` (docs/how-to/catalog-file.md describes it).

    A service whose name cannot be served becomes a problem, not an error, as with Consul. Raises
    `CatalogFileError`. A file with nothing in it is refused: a file that is just being written looks like
    that, and emptiness has to be said (`services: {}`).
    """
    try:
        document = read_document(path, CatalogShape, limit=_LIMIT)
    except ReadError as error:
        raise CatalogFileError(path, error.findings) from None
    if document is None:
        sentence = "is empty; write `services: {}` for a catalog without services"
        raise CatalogFileError(path, (Finding(line=0, key="", sentence=sentence),))
    clashes = _status_clashes(document)
    if clashes:
        raise CatalogFileError(path, clashes)
    return _catalog(document, path.name)


def _catalog(document: Document[CatalogShape], file: str) -> Catalog:
    shape = document.value
    services = []
    problems = []
    for name, service in shape.services.items():
        if is_service_name(name):
            instances = (
                _instance(one, name, position, shape.datacenter)
                for position, one in enumerate(service.instances, start=1)
            )
            services.append(Service.of(name, instances))
        else:
            line = document.lines[child("services", name)]
            problems.append(
                Problem(
                    code=Code.SERVICE_NAME,
                    source=f"{file} service {quoted(name)} (line {line})",
                    sentence="a service name is 1 to 128 letters, digits, dots, dashes and underscores, with "
                    "a letter or digit at both ends; the service is left out",
                )
            )
    return Catalog.of(shape.datacenter, services, problems)


def _instance(shape: InstanceShape, service: str, position: int, datacenter: str) -> Instance:
    identity = shape.id or f"{service}-{position}"
    words = {check.status for check in shape.checks} | ({shape.status} if shape.status else set())
    return Instance(
        node=shape.node or f"node-{position}",
        id=identity,
        address=shape.address,
        port=shape.port or next(iter(shape.ports.values()), 0),
        tagged=tuple(sorted((tag, one.address, one.port) for tag, one in shape.tagged.items())),
        tags=shape.tags,
        meta=tuple(sorted(shape.meta.items())),
        weights=Weights(passing=shape.weights.passing, warning=shape.weights.warning),
        statuses=tuple(sorted({_STATUSES.get(word, Status.CRITICAL) for word in words})),
        node_meta=tuple(sorted(shape.node_meta.items())),
        ports=tuple(sorted(shape.ports.items())),
        datacenter=shape.datacenter or datacenter,
        locality=Locality(
            region=shape.locality.region, zone=shape.locality.zone, sub_zone=shape.locality.sub_zone
        ),
        created=shape.created,
    )


def _status_clashes(document: Document[CatalogShape]) -> tuple[Finding, ...]:
    """Find the instances with both `status` and `checks`: which of the two was meant cannot be told."""
    return tuple(
        Finding(
            line=document.lines[f"{path}.status"],
            key=f"{path}.status",
            sentence="stands beside checks; keep one",
        )
        for name, service in document.value.services.items()
        for position, instance in enumerate(service.instances)
        if instance.status and instance.checks
        for path in (f"{child('services', name)}.instances[{position}]",)
    )


_Begun: TypeAlias = tuple[Catalog, AsyncIterator[None]]


class CatalogFileSource:
    """The catalog from a file: the same value that Consul gives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begun: _Begun | None = None

    def begin(self) -> None:
        """Read the file, for `run` to publish. Raises `CatalogFileError` if it cannot be used."""
        changes = file_changes((self._path,))  # noted before it is read
        self._begun = read_catalog(self._path), changes

    async def run(self, catalog: Latest[Catalog]) -> None:
        """Publish the catalog, and again each time its file changes; never returns.

        Raises `CatalogFileError` if the file cannot be used at the start. Later, a file that cannot be used
        is logged, and the catalog before it stays.
        """
        if self._begun is None:
            await asyncio.to_thread(self.begin)
        assert self._begun is not None  # noqa: S101 - it has just begun
        (held, changes), self._begun = self._begun, None
        catalog.publish(held)
        log(Event.CATALOG_SYNCED, source=str(self._path), services=len(held.services))
        async for _ in changes:
            try:
                held = await asyncio.to_thread(read_again, self._path, held)
            except CatalogFileError as error:
                log(Event.CATALOG_FILE_REFUSED, logging.ERROR, error=str(error))
                continue
            catalog.publish(held)
            log(Event.CATALOG_FILE_RELOADED, source=str(self._path), services=len(held.services))


def read_again(path: Path, old: Catalog) -> Catalog:
    """Read the catalog file, and keep the very services of `old` that are equal: translation builds on that.

    Raises CatalogFileError.
    """
    new = read_catalog(path)
    same = {name: old.services[name] for name, one in new.services.items() if old.services.get(name) == one}
    return replace(new, services=old.services.becoming({**new.services, **same}))
