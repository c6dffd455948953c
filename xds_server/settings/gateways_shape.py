"""The part of the settings file about Consul's gateways."""

from typing import Annotated

from msgspec import UNSET, Struct, UnsetType

from xds_server.settings.service_shape import Text, about


class GatewayShape(Struct, frozen=True, forbid_unknown_fields=True):
    """What the operator adds to a gateway's config entry."""

    certificate: Annotated[
        Text | UnsetType,
        about(
            "The secret with certificate and key of its listeners; needed where the entry asks for TLS, and "
            "for a terminating gateway. Default: none."
        ),
    ] = UNSET
    client_ca: Annotated[
        Text | UnsetType,
        about(
            "Clients must show a certificate signed by this secret's CA; needed for a terminating gateway. "
            "Default: none asked."
        ),
    ] = UNSET
    address: Annotated[
        Text,
        about("`IP:PORT` of a terminating gateway; of an ingress gateway the IP. Default: 0.0.0.0:8443."),
    ] = "0.0.0.0:8443"
