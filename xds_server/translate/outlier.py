"""Outlier detection: Envoy watches the traffic and takes instances that fail out of rotation for a while."""

from dataclasses import fields
from typing import Any, Final

from envoy.config.cluster.v3.outlier_detection_pb2 import OutlierDetection as EnvoyOutlierDetection
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from xds_server.model.policy import OutlierDetection
from xds_server.translate.packing import duration

# Plain fields of the message; every other one is a wrapper or a duration.
_PLAIN: Final = frozenset({"split_external_local_origin_errors"})


def outlier_detection(policy: OutlierDetection) -> EnvoyOutlierDetection:
    """Copy every field that is set; an empty message switches detection on with Envoy's own defaults.

    The policy's fields bear the names of Envoy's (Envoy API, `config.cluster.v3.OutlierDetection`).
    """
    values: dict[str, Any] = {}
    for field in fields(policy):
        value = getattr(policy, field.name)
        if value is not None:
            values[field.name] = value if field.name in _PLAIN else _wrapped(value)
    return EnvoyOutlierDetection(**values)


def _wrapped(value: float | bool) -> Any:
    match value:
        case bool():
            return BoolValue(value=value)
        case int():
            return UInt32Value(value=value)
        case _:
            return duration(value)
