"""The part of the settings file about when changes are acted on."""

from typing import Annotated, Any

from msgspec import Struct

from xds_server.runtime.debounce import Pace
from xds_server.settings.service_shape import Pause, about
from xds_server.settings.sources import Sources


class PaceShape(Struct, frozen=True, forbid_unknown_fields=True):
    """When changes are acted on."""

    quiet: Annotated[
        Pause,
        about("Changes closer together than this are a burst, acted on when it is over. Default: 25ms."),
    ] = 0.025
    at_most: Annotated[
        Pause, about("No change of a burst waits longer than this before it is acted on. Default: 1s.")
    ] = 1.0


def pace(shape: PaceShape, sources: Sources) -> Pace:
    """Give the two numbers; note it where a burst could be over only after it has to be acted on."""
    if shape.quiet > shape.at_most:
        sources.note("pace.quiet", f"{shape.quiet:g}s is longer than pace.at_most; make it shorter")
    return Pace(quiet=shape.quiet, at_most=shape.at_most)


def shown(one: Pace) -> dict[str, Any]:
    """Give them as the settings file has them."""
    return {"quiet": one.quiet, "at_most": one.at_most}
