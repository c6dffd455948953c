"""A cluster whose instances have host names, which Envoy resolves itself.

EDS cannot hold a host name. While none is there the cluster is one of EDS all the same: a change of its
endpoints then costs no new cluster, and no connection.
"""

from collections.abc import Sequence

from envoy.config.core.v3.health_check_pb2 import HealthStatus

from xds_server.model.catalog import Service
from xds_server.model.problem import Problem
from xds_server.translate import clusters, endpoints
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.meaning import ClusterSpec
from xds_server.translate.packing import Draft
from xds_server.translate.places import Places
from xds_server.translate.targets import Priorities, targets


def cluster(
    spec: ClusterSpec, services: Sequence[Service], rules: EndpointRules, places: Places
) -> tuple[tuple[Draft, ...], tuple[Problem, ...]]:
    """Give the cluster, and, if Envoy resolves none of its endpoints, these; and why any was left out."""
    priorities, problems = targets(spec, services, rules, places)
    if any(target.is_name for level in priorities for target in level):
        assignment = endpoints.load_assignment(spec.name, _without_early_panic(priorities))
        return (clusters.dns_cluster(spec, assignment),), problems
    return (clusters.cluster(spec), endpoints.assigned(spec.name, priorities)), problems


def _without_early_panic(priorities: Priorities) -> Priorities:
    """Leave unhealthy IP addresses out where a name is in rotation.

    Envoy takes a cluster into use as soon as one of its endpoints is resolved, which an IP address is at
    once: with an unhealthy one alone it would panic, and send requests there until the names are resolved.
    """
    in_rotation = [one for level in priorities for one in level if one.status != HealthStatus.UNHEALTHY]
    if not any(one.is_name for one in in_rotation):
        return priorities
    kept = (
        tuple(one for one in level if one.is_name or one.status != HealthStatus.UNHEALTHY)
        for level in priorities
    )
    return tuple(level for level in kept if level)
