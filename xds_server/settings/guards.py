"""The part of the settings file about the guards."""

from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import Struct

from xds_server.guard import GuardOptions
from xds_server.settings.service_shape import Pause, Percent, about

_NEVER: Final = "never"
_Lifetime: TypeAlias = Literal["never"] | Pause


class GuardsShape(Struct, frozen=True, forbid_unknown_fields=True):
    """What of a change is not believed at once."""

    lost_services: Annotated[
        Percent,
        about("A loss of a greater share of the services, and of at least 5, is held. Default: 30."),
    ] = 30
    lost_endpoints: Annotated[
        Percent,
        about("A loss of a greater share of the endpoints, and of at least 10, is held. Default: 50."),
    ] = 50
    window: Annotated[Pause, about("Losses within so long are added up. Default: 1m.")] = 60.0
    hold: Annotated[
        Pause,
        about("For so long a live source has to lack the same things until it is believed. Default: 5m."),
    ] = 300.0
    last_endpoint_hold: Annotated[
        Pause,
        about("How long the last instances of a service with `last_endpoint: hold` stay. Default: 30s."),
    ] = 30.0
    remove_clusters_after: Annotated[
        _Lifetime,
        about(
            "How long the clusters of a service that has left stay, without endpoints: a duration, or never. "
            "Default: 10m."
        ),
    ] = 600.0


def guards(shape: GuardsShape, *, own_word: bool) -> GuardOptions:
    """Give the options of the guards; `own_word` tells that the operator writes the catalog himself."""
    lifetime = shape.remove_clusters_after
    return GuardOptions(
        lost_services=shape.lost_services,
        lost_endpoints=shape.lost_endpoints,
        window=shape.window,
        hold=shape.hold,
        last_endpoint_hold=shape.last_endpoint_hold,
        remove_clusters_after=None if isinstance(lifetime, str) else lifetime,
        own_word=own_word,
    )


def shown(options: GuardOptions) -> dict[str, Any]:
    """Give the same as the settings file has it."""
    lifetime = options.remove_clusters_after
    return {
        "lost_services": options.lost_services,
        "lost_endpoints": options.lost_endpoints,
        "window": options.window,
        "hold": options.hold,
        "last_endpoint_hold": options.last_endpoint_hold,
        "remove_clusters_after": _NEVER if lifetime is None else lifetime,
    }
