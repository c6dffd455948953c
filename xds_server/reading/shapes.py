"""From a YAML tree to a msgspec Struct, finding everything that is wrong in one go, each with line and key.

msgspec's own decoder stops at the first error and knows no lines; its description of types
(`msgspec.inspect`), from which the JSON Schema is made as well, is what this reader follows.
"""

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec.inspect as mi

from xds_server.reading.durations import DURATION, parse_duration
from xds_server.reading.finding import Finding
from xds_server.reading.words import child, did_you_mean, expected, quoted
from xds_server.reading.yaml import Mapping, Node, Scalar, Sequence


class ShapeReader:
    """Reads one tree; afterwards `findings` holds what is wrong and `lines` where each key was written.

    A value is only to be used when `findings` is empty.
    """

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.lines: dict[str, int] = {}

    def read(self, node: Node, kind: mi.Type, path: str, line: int) -> Any:
        """Give the value that `node` means as a `kind`; `line` is where its key was written."""
        self.lines[path] = line
        return _READERS[type(kind)](self, node, kind, path)

    def miss(self, node: Node, kind: mi.Type, path: str) -> None:
        """Note that `node` is not a `kind`."""
        sentence = f"expected {expected(kind)}, but found {_found(node)}"
        if isinstance(node, Scalar) and node.value is None:
            sentence = f"has no value; expected {expected(kind)}, or remove the key"
        elif isinstance(node, Scalar) and not isinstance(node.value, str) and _takes_text(kind):
            sentence += f"; put it in quotes if the text {quoted(node.text)} is meant"
        self.note(self.lines.get(path, node.line), path, sentence)

    def note(self, line: int, path: str, sentence: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(line=line, key=path, sentence=sentence))

    def entries(self, node: Mapping, path: str) -> list[tuple[str, Node, int]]:
        """Give key, value and line of each entry, noting keys that are written twice."""
        first: dict[str, int] = {}
        for key, _ in node.entries:
            if key.text in first:
                sentence = f"is written twice, first on line {first[key.text]}; keep one"
                self.note(key.line, child(path, key.text), sentence)
            first.setdefault(key.text, key.line)
        return [(key.text, value, key.line) for key, value in node.entries]


def _found(node: Node) -> str:
    match node:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
        case Scalar(value=bool()):
            return f"the boolean {node.text}"
        case Scalar(value=str()):
            return f"the text {quoted(node.text)}"
        case _:
            return f"the number {node.text}"


def _takes_text(kind: mi.Type) -> bool:
    if isinstance(kind, mi.Metadata):
        return _takes_text(kind.type)
    return isinstance(kind, mi.StrType)


def _metadata(reader: ShapeReader, node: Node, kind: mi.Metadata, path: str) -> Any:
    extra = kind.extra or {}
    before = len(reader.findings)
    if extra.get("read") == DURATION:
        return _duration(reader, node, kind, path)
    value = _READERS[type(kind.type)](reader, node, kind.type, path)
    if "expected" in extra and len(reader.findings) > before:
        del reader.findings[before:]
        reader.miss(node, kind, path)
    return value


def _duration(reader: ShapeReader, node: Node, kind: mi.Metadata, path: str) -> float:
    limits = kind.type
    seconds = parse_duration(node.value) if isinstance(node, Scalar) else None
    if seconds is None:
        reader.miss(node, kind, path)
        return 0.0
    if isinstance(limits, mi.FloatType) and not (limits.ge or 0) <= seconds <= (limits.le or math.inf):
        reader.note(reader.lines[path], path, f"must be from {limits.ge} to {limits.le} seconds")
    return seconds


def _text(reader: ShapeReader, node: Node, kind: mi.StrType, path: str) -> str:
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        reader.miss(node, kind, path)
        return ""
    if kind.min_length and len(node.value) < kind.min_length:
        reader.note(reader.lines[path], path, "is empty; give it a value or remove the key")
    elif kind.pattern is not None and not re.fullmatch(kind.pattern, node.value):
        reader.note(reader.lines[path], path, f"{quoted(node.value)} does not match {kind.pattern}")
    return node.value


def _boolean(reader: ShapeReader, node: Node, kind: mi.BoolType, path: str) -> bool:
    if not isinstance(node, Scalar) or not isinstance(node.value, bool):
        reader.miss(node, kind, path)
        return False
    return node.value


def _number(reader: ShapeReader, node: Node, kind: mi.IntType | mi.FloatType, path: str) -> int | float:
    allowed = (int,) if isinstance(kind, mi.IntType) else (int, float)
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, bool) or not isinstance(value, allowed) or not math.isfinite(value):
        reader.miss(node, kind, path)
        return 0
    if (kind.ge is not None and value < kind.ge) or (kind.le is not None and value > kind.le):
        reader.miss(node, kind, path)
    return value


def _choice(reader: ShapeReader, node: Node, kind: mi.EnumType | mi.LiteralType, path: str) -> Any:
    members: Iterable[Any] = kind.cls if isinstance(kind, mi.EnumType) else kind.values
    choices: dict[str, Any] = {str(member): member for member in members}
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        reader.miss(node, kind, path)
    elif node.value not in choices:
        sentence = f"{quoted(node.value)} is not known; {did_you_mean(node.value, choices)}"
        reader.note(reader.lines[path], path, sentence)
    else:
        return choices[node.value]
    return None


def _list(reader: ShapeReader, node: Node, kind: mi.VarTupleType, path: str) -> tuple[Any, ...]:
    if not isinstance(node, Sequence):
        reader.miss(node, kind, path)
        return ()
    if kind.min_length and len(node.items) < kind.min_length:
        reader.note(reader.lines[path], path, "is empty; it needs at least one item")
    return tuple(
        reader.read(item, kind.item_type, f"{path}[{position}]", item.line)
        for position, item in enumerate(node.items)
    )


def _dict(reader: ShapeReader, node: Node, kind: mi.DictType, path: str) -> dict[str, Any]:
    if not isinstance(node, Mapping):
        reader.miss(node, kind, path)
        return {}
    if kind.min_length and len(node.entries) < kind.min_length:
        reader.note(reader.lines[path], path, "is empty; it needs at least one entry")
    for key, _ in node.entries:
        reader.read(Scalar(key.line, key.text, key.text), kind.key_type, child(path, key.text), key.line)
    return {
        key: reader.read(value, kind.value_type, child(path, key), line)
        for key, value, line in reader.entries(node, path)
    }


def _struct(reader: ShapeReader, node: Node, kind: mi.StructType, path: str) -> Any:
    if not isinstance(node, Mapping):
        reader.miss(node, kind, path)
        return None
    fields = {field.encode_name: field for field in kind.fields}
    values: dict[str, Any] = {field.name: None for field in kind.fields if field.required}
    given = set()
    for key, value, line in reader.entries(node, path):
        if key not in fields:
            reader.note(line, child(path, key), f"is not a key here; {did_you_mean(key, fields)}")
            continue
        given.add(key)
        values[fields[key].name] = reader.read(value, fields[key].type, child(path, key), line)
    for field in kind.fields:
        if field.required and field.encode_name not in given:
            reader.note(
                reader.lines.get(path, node.line), child(path, field.encode_name), "is required; add it"
            )
    return kind.cls(**values)


def _union(reader: ShapeReader, node: Node, kind: mi.UnionType, path: str) -> Any:
    """Take the member that fits; of a wrong mapping or list say what is wrong inside it."""
    for member in kind.types:
        trial = ShapeReader()
        value = trial.read(node, member, path, reader.lines[path])
        if not trial.findings or (isinstance(member, mi.StructType) and isinstance(node, Mapping)):
            reader.lines |= trial.lines
            reader.findings += trial.findings
            return value
    reader.miss(node, kind, path)
    return None


_READERS: Final[dict[type[mi.Type], Callable[[ShapeReader, Node, Any, str], Any]]] = {
    mi.Metadata: _metadata,
    mi.StrType: _text,
    mi.BoolType: _boolean,
    mi.IntType: _number,
    mi.FloatType: _number,
    mi.EnumType: _choice,
    mi.LiteralType: _choice,
    mi.VarTupleType: _list,
    mi.DictType: _dict,
    mi.StructType: _struct,
    mi.UnionType: _union,
}
