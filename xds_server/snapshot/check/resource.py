"""One resource against the rules that Envoy itself holds it to."""

from dataclasses import dataclass

from xds_server.translate.packing import Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What is left of a draft: itself, a repaired one, or None where it cannot be served.

    `complaints` are sentences about what was wrong, one for each thing.
    """

    draft: Draft | None
    complaints: tuple[str, ...] = ()


def check(draft: Draft) -> Checked:
    """Check a draft by itself."""
    return Checked(draft=draft)
