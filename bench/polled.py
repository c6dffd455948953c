"""The peer in Python, `sovereign`, in an environment of its own: `python bench/polled.py PORT`.

It is served by uvicorn in one process. As a file of templates, this is also what it makes resources with: one
cluster of type EDS, and one assignment, for each service of its source.
"""

import sys
from collections.abc import Iterator
from typing import Any

_TYPE = "type.googleapis.com/envoy.config."


def cluster(service: dict[str, Any]) -> dict[str, Any]:
    """Give the cluster of a service."""
    return {
        "@type": _TYPE + "cluster.v3.Cluster",
        "name": service["name"],
        "type": "EDS",
        "connect_timeout": "5s",
        "eds_cluster_config": {"eds_config": {"ads": {}, "resource_api_version": "V3"}},
    }


def call(discovery_request: Any, instances: Any = (), **_: Any) -> Iterator[dict[str, Any]]:
    """Give the clusters of a poll; sovereign calls this for each."""
    del discovery_request
    for service in instances:
        yield cluster(service)


if __name__ == "__main__":
    # It wants to be imported before there is an event loop.
    import uvicorn
    from sovereign.app import app

    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
