"""A hold: something a guard does not believe yet, what is served in its place, and how to release it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Hold:
    """One thing that is held back.

    `guard` names the guard (`fleet-shrink`, `last-endpoint`, ...), `subject` what it is about (`user`, or
    empty for the whole). `sentence` says what is held and why, `release` how it ends. `since` and `until` are
    Unix seconds; without `until` it ends only by recovery or by `xds-server accept`.
    """

    guard: str
    subject: str
    sentence: str
    release: str
    since: float
    until: float | None = None

    @property
    def id(self) -> str:
        """What `xds-server accept` takes: `last-endpoint/user`."""
        return f"{self.guard}/{self.subject}" if self.subject else self.guard
