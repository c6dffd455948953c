"""Where an Envoy finds more: every reference to a resource of this server goes over the same ADS stream."""

from typing import Final

from envoy.config.core.v3.config_source_pb2 import AggregatedConfigSource, ApiVersion, ConfigSource
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import SdsSecretConfig

ADS: Final = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)


def sds(name: str) -> SdsSecretConfig:
    """Point at a secret by its SDS name."""
    return SdsSecretConfig(name=name, sds_config=ADS)
