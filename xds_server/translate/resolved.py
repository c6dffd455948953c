"""A cluster whose instances have host names, which Envoy resolves itself.

EDS cannot hold a host name. While none is there the cluster is one of EDS all the same: a change of its
endpoints then costs no new cluster, and no connection.
"""

from collections.abc import Sequence

from xds_server.model.catalog import Service
from xds_server.model.problem import Problem
from xds_server.translate import clusters, endpoints
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.meaning import ClusterSpec
from xds_server.translate.packing import Draft
from xds_server.translate.places import Places
from xds_server.translate.targets import targets


def cluster(
    spec: ClusterSpec, services: Sequence[Service], rules: EndpointRules, places: Places
) -> tuple[tuple[Draft, ...], tuple[Problem, ...]]:
    """Give the cluster, and, if Envoy resolves none of its endpoints, these; and why any was left out."""
    priorities, problems = targets(spec, services, rules, places)
    if any(target.is_name for found in priorities for target in found):
        return (clusters.dns_cluster(spec, endpoints.load_assignment(spec.name, priorities)),), problems
    return (clusters.cluster(spec), endpoints.assigned(spec.name, priorities)), problems
