"""What was made in the last translation, with the inputs it was made from, to be handed out again."""

from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from itertools import islice
from operator import is_
from typing import Any, Final, TypeAlias, TypeVar

from xds_server.model.problem import Code, Problem
from xds_server.translate.packing import Draft, shared

T = TypeVar("T")
Key: TypeAlias = tuple[str, ...]

Part: TypeAlias = tuple[tuple[Draft, ...], tuple[Problem, ...]]
"""Resources, and what was met while they were made."""


_Remembered: TypeAlias = tuple[Any, ...]
"""A value, and the inputs it was made from."""

_Generation: TypeAlias = defaultdict[str, dict[str | Key, _Remembered]]
"""By the first word of the key and the rest of it: keys of their own would be most of what is held."""


class Memory:
    """Remembers values with the identity of the inputs they were made from.

    What is not recalled in a generation is forgotten at its end. Between two, what is recalled is added.
    """

    def __init__(self) -> None:
        self._old: _Generation = defaultdict(dict)
        self._new = self._old

    def begin(self) -> None:
        """Start a generation."""
        self._new = defaultdict(dict)

    def end(self) -> None:
        """End the generation."""
        self._old = self._new

    def forget(self, key: Key) -> None:
        """Forget a value."""
        self._new[key[0]].pop(_rest(key), None)

    def recall(self, key: Key, make: Callable[..., T], *inputs: Any) -> T:
        """Give `make(*inputs)`, from memory if it was made from these very objects."""
        kind, name = key[0], _rest(key)
        known = self._old[kind].get(name)
        if (
            known is None
            or len(known) != len(inputs) + 1
            or not all(map(is_, islice(known, 1, None), inputs))
        ):
            known = (make(*inputs), *inputs)
        self._new[kind][name] = known
        value: T = known[0]
        return value

    def guarded(self, key: Key, make: Callable[..., T], *inputs: Any) -> tuple[T | None, Problem | None]:
        """Recall; where `make` fails on these inputs, give its last good value, if any, and a problem."""
        try:
            return self.recall(key, make, *inputs), None
        except Exception as error:  # noqa: BLE001 - the firewall: one part's bug must not cost the others
            sentence = f"translation failed ({type(error).__name__}); the last good resources are kept"
            problem = Problem(code=Code.TRANSLATION_FAILED, source=" ".join(key), sentence=sentence)
            return self._last(key), problem

    def part(self, key: Key, make: Callable[..., Part], *inputs: Any) -> Part:
        """Make one part, or hand out the remembered one; on a bug in it, keep the last that worked."""
        part, failed = self.guarded(key, _sharing, make, *inputs)
        if failed is None:
            return part or ((), ())
        return (part[0] if part else ()), (failed,)

    def _last(self, key: Key) -> Any:
        """Give the last remembered value of a key, and keep remembering it without its inputs."""
        kind, name = key[0], _rest(key)
        known = self._old[kind].get(name)
        if known is None:
            return None
        self._new[kind][name] = (known[0], *(object() for _ in known[1:]))
        return known[0]

    def same(self, key: Key, value: T) -> T:
        """Give the remembered object if it equals `value`, so that identity can stand for equality."""
        kind, name = key[0], _rest(key)
        known = self._old[kind].get(name)
        kept: T = value
        if known is not None and (known[0] is value or known[0] == value):
            kept = known[0]
        self._new[kind][name] = (kept,)
        return kept


_RECENT: Final = 256


def once(make: Callable[..., T]) -> Callable[..., T]:
    """Let groups that come one after the other with the very same inputs share what is made of them.

    A change of one service is the same work for every group that reads it. What is made must not be changed.
    """
    recent: dict[tuple[int, ...], tuple[T, Any]] = {}

    @wraps(make)
    def made(*inputs: Any) -> T:
        key = tuple(map(id, inputs))
        known = recent.get(key)
        if known is None:
            if len(recent) >= _RECENT:
                del recent[next(iter(recent))]
            # The inputs are held, so that nothing else can come to have their identity.
            known = recent[key] = make(*inputs), inputs
        return known[0]

    return made


def _sharing(make: Callable[..., Part], *inputs: Any) -> Part:
    drafts, problems = make(*inputs)
    return tuple(map(shared, drafts)), problems


def _rest(key: Key) -> str | Key:
    return key[1] if len(key) == 2 else key[1:]  # noqa: PLR2004 - a kind and a name
