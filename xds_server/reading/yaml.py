"""YAML, read strictly: the 1.2 core schema's words, no aliases, no tags, one document.

YAML 1.1 turns `on`, `no` and `y` into booleans, and there are services of these names; so PyYAML is only
used for its events (by libyaml where there is one), and what a plain word means is decided here
(YAML 1.2.2, 10.3.2 "Tag Resolution").
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import yaml

from xds_server.reading.finding import Finding

MAX_DEPTH: Final = 32

Value: TypeAlias = str | int | float | bool | None

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: Final[dict[str, Value]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# Twenty digits are more than any number here has room for; a longer one stays text.
_INT: Final = re.compile(r"[-+]?[0-9]{1,20}", re.ASCII)
_OCTAL: Final = re.compile(r"0o[0-7]{1,20}", re.ASCII)
_HEX: Final = re.compile(r"0x[0-9a-fA-F]{1,20}", re.ASCII)
_FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9]{1,20}|[0-9]{1,20}(?:\.[0-9]{0,20})?)(?:[eE][-+]?[0-9]{1,3})?", re.ASCII
)
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NUMBER_BEGINS: Final = frozenset("+-.0123456789")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_STR_TAGS: Final = ("!", "tag:yaml.org,2002:str")


@dataclass(frozen=True, slots=True)
class Scalar:
    """A word: `text` as written (without quotes), and the `value` that it means."""

    line: int
    text: str
    value: Value


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    line: int
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in file order; a key is text however it is written. A key may occur twice."""

    line: int
    entries: tuple[tuple[Scalar, "Node"], ...]


Node: TypeAlias = Scalar | Sequence | Mapping


class NotYamlError(Exception):
    """The text is not YAML as we read it: the end of a sentence, and the line (0 for the whole text)."""

    def __init__(self, sentence: str, line: int = 0) -> None:
        self.finding = Finding(line=line, key="", sentence=sentence)
        super().__init__(sentence)


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end was not seen yet."""

    line: int
    is_mapping: bool
    children: list[Node] = field(default_factory=list)


def compose(data: bytes) -> Node | None:
    """Give the one document in `data` as a tree; None if there is nothing but comments.

    Raises `NotYamlError` at the first thing that ends the reading.
    """
    try:
        text = data.decode("utf-8-sig")
        return _Composer().tree(yaml.parse(text, Loader=_LOADER))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise NotYamlError("is not UTF-8 text", line) from None
    except yaml.YAMLError as error:
        raise _syntax(error) from None
    except (ValueError, OverflowError):  # an escape that names no character, in PyYAML's own scanner
        raise NotYamlError("is not YAML: it holds a bad escape") from None


def _syntax(error: yaml.YAMLError) -> NotYamlError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read")
    if "cannot start any token" in problem:
        problem += "; indent with spaces, and quote text that begins with a special character"
    return NotYamlError(f"is not YAML: {problem}", mark.line + 1 if mark else 0)


class _Composer:
    """Builds the tree from events with a stack of its own, so that depth cannot exhaust Python's."""

    def __init__(self) -> None:
        self._stack: list[_Open] = []
        self._root: Node | None = None

    def tree(self, events: Iterator[yaml.Event]) -> Node | None:
        documents = 0
        for event in events:
            line = event.start_mark.line + 1 if event.start_mark else 0
            match event:
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        raise NotYamlError("begins a second document; write one", line)
                case yaml.AliasEvent():
                    sentence = f"has the alias *{event.anchor}, which is not allowed; write the value out"
                    raise NotYamlError(sentence, line)
                case yaml.ScalarEvent():
                    self._add(_scalar(event, line))
                case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                    self._open(event, line)
                case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                    self._add(self._close())
                case _:
                    pass
        return self._root

    def _open(self, event: yaml.CollectionStartEvent, line: int) -> None:
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", f"tag:yaml.org,2002:{'map' if is_mapping else 'seq'}"):
            raise _tag(event.tag, line)
        if len(self._stack) == MAX_DEPTH:
            sentence = f"is nested deeper than {MAX_DEPTH} levels"
            raise NotYamlError(sentence, line)
        self._stack.append(_Open(line, is_mapping))

    def _close(self) -> Node:
        done = self._stack.pop()
        if not done.is_mapping:
            return Sequence(done.line, tuple(done.children))
        entries: list[tuple[Scalar, Node]] = []
        for key, value in zip(done.children[::2], done.children[1::2], strict=True):
            if not isinstance(key, Scalar):
                raise NotYamlError("has a list or mapping where a key must be", key.line)
            entries.append((key, value))
        return Mapping(done.line, tuple(entries))

    def _add(self, node: Node) -> None:
        if self._stack:
            self._stack[-1].children.append(node)
        else:
            self._root = node if not isinstance(node, Scalar) or node.text else None


def _tag(tag: str, line: int) -> NotYamlError:
    return NotYamlError(f"has the tag {tag[:100]!r}, which is not allowed; write a plain value", line)


def _scalar(event: yaml.ScalarEvent, line: int) -> Scalar:
    text: str = event.value
    if _SURROGATE.search(text):
        raise NotYamlError("holds an escape that names no character", line)
    if event.tag in _STR_TAGS or (event.tag is None and not event.implicit[0]):
        return Scalar(line, text, text)
    if event.tag is not None:
        raise _tag(event.tag, line)
    return Scalar(line, text, _meaning(text))


def _meaning(text: str) -> Value:
    """Resolve a plain word by the core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_BEGINS:
        return text
    for pattern, base in ((_INT, 10), (_OCTAL, 8), (_HEX, 16)):
        if pattern.fullmatch(text):
            return int(text, base) if base == 10 else int(text[2:], base)  # noqa: PLR2004 - decimal
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text
