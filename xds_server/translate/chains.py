"""A discovery chain as clusters, rules and ways."""

from collections.abc import Mapping

from xds_server.model.chain import Chain
from xds_server.model.policy import ServicePolicy
from xds_server.model.problem import Problem
from xds_server.translate.meaning import Meaning, Parts, plain


def meaning_of(chain: Chain, policies: Mapping[str, ServicePolicy]) -> tuple[Meaning, tuple[Problem, ...]]:
    """Give what a service with a chain means."""
    return plain(chain.service, policies[chain.service], Parts()), ()
