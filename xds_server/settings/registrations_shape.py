"""The part of the settings file that says what services may decide in their own registrations."""

from typing import Annotated, Literal

from msgspec import Struct

from xds_server.settings.service_shape import Text, about


class ClaimShape(Struct, frozen=True, forbid_unknown_fields=True):
    """Hosts and paths that some services may have for themselves."""

    hosts: Annotated[
        tuple[Text, ...],
        about("Host names: plain, `*.example.com`, or `*` for any. Required.", min_length=1),
    ]
    services: Annotated[
        tuple[Text, ...], about("The services that may have them, `*` for any. Required.", min_length=1)
    ]
    path_prefix: Annotated[Text, about("Only paths below this, by whole segments. Default: /.")] = "/"


class RegistrationsShape(Struct, frozen=True, forbid_unknown_fields=True):
    """What services may decide in the Meta and tags of their registrations."""

    expose: Annotated[
        Literal["all", "tagged"],
        about("Serve all services, or only those that say `xds-enable: true`. Default: all."),
    ] = "all"
    claims: Annotated[
        tuple[ClaimShape, ...],
        about("Hosts and paths that services may ask for. Default: []."),
    ] = ()
    dialects: Annotated[
        tuple[Literal["fabio", "traefik"], ...], about("Whose tags are understood as well. Default: [].")
    ] = ()
