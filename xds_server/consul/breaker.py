"""Whether Consul as a whole answers, judged by what is asked of it anyway; pure.

A circuit breaker: while half of the questions fail, one query at a time finds out whether it is over, so that
an outage costs Consul no more than one query in a while, however many watches there are.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

FIRST_PAUSE: Final = 0.5
LAST_PAUSE: Final = 30.0

_FEWEST: Final = 20  # fewer questions than these are bounded by their own back-off
_MOST: Final = 40


class Breaker:
    """Judges by the last outcome of each of the 40 questions that were asked last.

    So one bad service counts once, however often it is tried. Times are seconds of one clock that does not
    jump.
    """

    def __init__(self) -> None:
        self._outcomes: OrderedDict[Hashable, bool] = OrderedDict()
        self._pause = 0.0
        self._until = 0.0

    def is_open(self) -> bool:
        """Whether only probes may go through."""
        return self._pause > 0

    def wait(self, now: float) -> float:
        """Give the seconds until the next probe may go."""
        return max(0.0, self._until - now)

    def succeeded(self, question: Hashable) -> bool:
        """Take note of an answer; tell whether it closed the breaker."""
        was_open = self.is_open()
        if was_open:
            self._pause = self._until = 0.0
            self._outcomes.clear()
        self._note(question, ok=True)
        return was_open

    def failed(self, question: Hashable, now: float, *, probe: bool) -> bool:
        """Take note of a query that Consul as a whole failed; tell whether it opened the breaker.

        A failed `probe` doubles the pause before the next one, up to 30 s; what was asked before the breaker
        opened and fails now says nothing new.
        """
        if self.is_open():
            if probe:
                self._pause = min(LAST_PAUSE, 2 * self._pause)
                self._until = now + self._pause
            return False
        self._note(question, ok=False)
        failures = sum(not ok for ok in self._outcomes.values())
        if len(self._outcomes) < _FEWEST or 2 * failures < len(self._outcomes):
            return False
        self._pause = FIRST_PAUSE
        self._until = now + self._pause
        return True

    def _note(self, question: Hashable, *, ok: bool) -> None:
        self._outcomes[question] = ok
        self._outcomes.move_to_end(question)
        if len(self._outcomes) > _MOST:
            self._outcomes.popitem(last=False)
