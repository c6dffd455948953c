"""Reading what people write: bounded files, strict YAML, typed shapes; every error with its line and key.

This floor knows nothing of settings or catalogs; both are read with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec
import msgspec.inspect as mi

from xds_server.reading.bounded import UnreadableFileError, read_bounded
from xds_server.reading.durations import DURATION, PATTERN, parse_duration, parse_go_duration
from xds_server.reading.finding import Finding, ReadError
from xds_server.reading.shapes import ShapeReader
from xds_server.reading.words import child, did_you_mean, quoted
from xds_server.reading.yaml import NotYamlError, compose

__all__ = [
    "DURATION",
    "PATTERN",
    "Document",
    "Finding",
    "ReadError",
    "UnreadableFileError",
    "child",
    "did_you_mean",
    "parse_duration",
    "parse_go_duration",
    "quoted",
    "read_bounded",
    "read_document",
]

T = TypeVar("T", bound=msgspec.Struct)

_KINDS: Final[dict[type, mi.Type]] = {}


@dataclass(frozen=True, slots=True)
class Document(Generic[T]):
    """A file that was read: its value, and the line on which each key path was written."""

    value: T
    lines: Mapping[str, int]


def read_document(path: Path, shape: type[T], *, limit: int) -> Document[T] | None:
    """Read the YAML file at `path`, at most `limit` bytes of it, as a `shape`; None if nothing is in it.

    Raises `ReadError` with everything that is wrong in the file.
    """
    try:
        tree = compose(read_bounded(path, limit))
    except UnreadableFileError as error:
        raise ReadError(str(path), (Finding(line=0, key="", sentence=str(error)),)) from None
    except NotYamlError as error:
        raise ReadError(str(path), (error.finding,)) from None
    if tree is None:
        return None
    reader = ShapeReader()
    value: Any = reader.read(tree, _KINDS.setdefault(shape, mi.type_info(shape)), "", tree.line)
    if reader.findings:
        raise ReadError(str(path), tuple(reader.findings))
    return Document(value, reader.lines)
