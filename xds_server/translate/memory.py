"""What was made in the last translation, with the inputs it was made from, to be handed out again."""

from collections.abc import Callable
from operator import is_
from typing import Any, TypeAlias, TypeVar

from xds_server.model.problem import Code, Problem

T = TypeVar("T")
Key: TypeAlias = tuple[str, ...]


class Memory:
    """Remembers values with the identity of the inputs they were made from, for one generation."""

    def __init__(self) -> None:
        self._old: dict[Key, tuple[tuple[Any, ...], Any]] = {}
        self._new: dict[Key, tuple[tuple[Any, ...], Any]] = {}

    def begin(self) -> None:
        """Start a generation: what is not recalled in it is forgotten at its end."""
        self._new = {}

    def end(self) -> None:
        """End the generation."""
        self._old = self._new

    def recall(self, key: Key, make: Callable[..., T], *inputs: Any) -> T:
        """Give `make(*inputs)`, from memory if it was made from these very objects."""
        known = self._old.get(key)
        if known is not None and len(known[0]) == len(inputs) and all(map(is_, known[0], inputs)):
            self._new[key] = known
            value: T = known[1]
            return value
        value = make(*inputs)
        self._new[key] = (inputs, value)
        return value

    def guarded(self, key: Key, make: Callable[..., T], *inputs: Any) -> tuple[T | None, Problem | None]:
        """Recall; where `make` fails on these inputs, give its last good value, if any, and a problem."""
        try:
            return self.recall(key, make, *inputs), None
        except Exception as error:  # noqa: BLE001 - the firewall: one part's bug must not cost the others
            sentence = f"translation failed ({type(error).__name__}); the last good resources are kept"
            problem = Problem(code=Code.TRANSLATION_FAILED, source=" ".join(key), sentence=sentence)
            return self._last(key), problem

    def _last(self, key: Key) -> Any:
        """Give the last remembered value of a key, and keep remembering it without its inputs."""
        known = self._old.get(key)
        if known is None:
            return None
        self._new[key] = ((object(),) * len(known[0]), known[1])
        return known[1]

    def same(self, key: Key, value: T) -> T:
        """Give the remembered object if it equals `value`, so that identity can stand for equality."""
        known = self._old.get(key)
        kept: T = value
        if known is not None and (known[1] is value or known[1] == value):
            kept = known[1]
        self._new[key] = ((), kept)
        return kept
