"""How an expected type is called in a sentence, and what a misspelt word was meant to be."""

import difflib
import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec.inspect as mi

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


def child(path: str, key: str) -> str:
    """Give the path of `key` inside `path`: `services.user`, `services["a.b"]`."""
    if _BARE_KEY.fullmatch(key):
        return f"{path}.{key}" if path else key
    return f"{path}[{quoted(key)}]"


def quoted(text: str) -> str:
    """Give a value as it may stand in a sentence: quoted, escaped, and cut."""
    return json.dumps(text if len(text) <= 100 else text[:100] + "...", ensure_ascii=True)  # noqa: PLR2004 - a line


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give the end of a sentence that proposes the nearest known word, or lists them all."""
    known = list(known)
    near = difflib.get_close_matches(word[:100], known, n=1)
    if near:
        return f"did you mean {quoted(near[0])}?"
    return f"use one of {', '.join(known)}"


def expected(kind: mi.Type) -> str:
    """Say in words what values `kind` takes."""
    if isinstance(kind, mi.Metadata):
        own = (kind.extra or {}).get("expected")
        return str(own) if own else expected(kind.type)
    return _WORDS[type(kind)](kind)


def _number(noun: str) -> Callable[[Any], str]:
    def words(kind: mi.IntType | mi.FloatType) -> str:
        if kind.ge is not None and kind.le is not None:
            return f"{noun} from {kind.ge} to {kind.le}"
        return noun

    return words


_WORDS: Final[dict[type[mi.Type], Callable[[Any], str]]] = {
    mi.StrType: lambda _: "text",
    mi.BoolType: lambda _: "true or false",
    mi.IntType: _number("a whole number"),
    mi.FloatType: _number("a number"),
    mi.EnumType: lambda kind: "one of " + ", ".join(member.value for member in kind.cls),
    mi.LiteralType: lambda kind: " or ".join(kind.values),
    mi.VarTupleType: lambda kind: (
        "a list of " + expected(kind.item_type) if _is_leaf(kind.item_type) else "a list"
    ),
    mi.DictType: lambda _: "a mapping of keys to values",
    mi.StructType: lambda kind: (
        "a mapping with the keys " + ", ".join(field.encode_name for field in kind.fields)
    ),
    mi.UnionType: lambda kind: ", or ".join(expected(member) for member in kind.types),
}


def _is_leaf(kind: mi.Type) -> bool:
    return isinstance(kind, mi.Metadata | mi.StrType | mi.IntType)
