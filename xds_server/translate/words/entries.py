"""Where our words stand in a registration, and how they are spelt in Meta and in tags."""

from dataclasses import dataclass
from typing import Final

from xds_server.translate.words.said import Pieces, Sign
from xds_server.translate.words.schema import META_PREFIX, OPTIONS, TAG_PREFIX, WORDS

_FLAGS: Final = frozenset(word for word, known in (*WORDS.items(), *OPTIONS.items()) if known.flag)


@dataclass(frozen=True, slots=True)
class Entry:
    """A word with its value, and the piece of the registration that gives it."""

    word: str
    value: str
    sign: Sign

    def spelt(self, word: str) -> str:
        """Write another word as this one is written: for Meta, or for a tag."""
        return f"{META_PREFIX}{word}" if self.sign.key else f"{TAG_PREFIX}{word.replace('-', '.')}"


def is_own(piece: Sign) -> bool:
    """Tell whether a piece is meant for us, in small letters or not."""
    text, prefix = (piece.key, META_PREFIX) if piece.key else (piece.text, TAG_PREFIX)
    return text[: len(prefix)].lower() == prefix


def entries(pieces: Pieces) -> tuple[Entry, ...]:
    """Give the words of a registration in the order of its pieces."""
    return tuple(_entry(piece) for piece in pieces if is_own(piece))


def _entry(piece: Sign) -> Entry:
    if piece.key:
        return Entry(_word(piece.key, META_PREFIX), piece.text, piece)
    head, equals, value = piece.text.partition("=")
    word = _word(head, TAG_PREFIX).replace(".", "-")
    if not equals and (word in _FLAGS or word.rpartition("-")[2] in _FLAGS):
        value = "true"
    return Entry(word, value, piece)


def _word(text: str, prefix: str) -> str:
    """Take the prefix off; where that is not in small letters it stays, so that nothing knows the word."""
    return text.removeprefix(prefix)
