"""`envoy_data_plane` as a second decoder of what we send: another code base than google.protobuf."""

import warnings

with warnings.catch_warnings():
    # It uses a feature of pydantic that pydantic wants to drop, which is not for us to mend.
    warnings.simplefilter("ignore")
    from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
    from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryResponse, DiscoveryResponse

__all__ = ["ClusterLoadAssignment", "DeltaDiscoveryResponse", "DiscoveryResponse"]
