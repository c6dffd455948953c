"""How much traffic an instance is to have: its weight and its health, as Envoy takes them.

This is Consul's own rule (`calculateEndpointHealthAndWeight`): the weight while passing, the weight while
warning, any critical check makes the endpoint UNHEALTHY, and a weight below 1 takes it out of rotation.
Unlike Consul's, the weight is not cut to 128.
"""

from typing import Final

from envoy.config.core.v3.health_check_pb2 import HealthStatus

from xds_server.model.catalog import Instance, Status
from xds_server.model.policy import OnWarning

# Consul's agent refuses more; its catalog does not. The sum over a locality has to stay below 2^32.
MAX_WEIGHT: Final = 65_535

UNHEALTHY: Final = HealthStatus.UNHEALTHY
_HEALTHY: Final = HealthStatus.HEALTHY

_OUT_OF_ROTATION: Final = frozenset({Status.CRITICAL, Status.MAINTENANCE})


def weight_and_health(
    instance: Instance, on_warning: OnWarning = OnWarning.WEIGHT, *, only_passing: bool = False
) -> tuple[int, HealthStatus]:
    """Give an instance's weight (1 to 65,535) and its Envoy health status.

    With `on_warning: degraded` a warning instance is DEGRADED, which Envoy uses when too few healthy ones are
    left (Envoy, "Degraded endpoints"). With `only_passing` (service-resolver, `OnlyPassing`) it is UNHEALTHY.
    """
    weights = instance.weights
    # Nearly all are like this.
    if instance.is_passing and 1 <= weights.passing <= MAX_WEIGHT:
        return weights.passing, _HEALTHY
    statuses = instance.statuses
    warns = Status.WARNING in statuses
    weight = weights.warning if warns else weights.passing
    bounded = min(max(weight, 1), MAX_WEIGHT)
    if weight < 1 or not _OUT_OF_ROTATION.isdisjoint(statuses) or (warns and only_passing):
        return bounded, UNHEALTHY
    if warns and on_warning is OnWarning.DEGRADED:
        return bounded, HealthStatus.DEGRADED
    return bounded, _HEALTHY
