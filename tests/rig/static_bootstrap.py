"""A snapshot as one static Envoy configuration, so that `envoy --mode validate` checks all of it.

What Envoy would fetch stands in place: assignments in their clusters, routes in their listeners, virtual
hosts that it would ask for in their routes, secrets beside them. Envoy looks at static configuration more
strictly than at xDS: it refuses a route to an unknown cluster, which it would acknowledge over the stream.
"""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from xds_server.demo.binaries import find_envoy
from xds_server.model.types import TypeUrl
from xds_server.snapshot import Snapshot
from xds_server.translate.render import unpack


def static_bootstrap(snapshot: Snapshot) -> str:
    """Give the bootstrap as JSON. Private keys are in it in clear."""
    found = {type_url: _messages(snapshot, type_url) for type_url in TypeUrl}
    for cluster in found[TypeUrl.CLUSTER].values():
        if "load_assignment" in cluster:
            continue
        del cluster["eds_cluster_config"]
        cluster["type"] = "STATIC"
        cluster["load_assignment"] = found[TypeUrl.ENDPOINTS][cluster["name"]]
    for routes in found[TypeUrl.ROUTES].values():
        if routes.pop("vhds", None):
            asked = [
                host
                for name, host in found[TypeUrl.VIRTUAL_HOST].items()
                if name.startswith(f"{routes['name']}/")
            ]
            routes.setdefault("virtual_hosts", []).extend(asked)
    resources = {
        "clusters": _static(found[TypeUrl.CLUSTER].values(), {}),
        "listeners": _static(found[TypeUrl.LISTENER].values(), found[TypeUrl.ROUTES]),
        "secrets": list(found[TypeUrl.SECRET].values()),
    }
    text = json.dumps({"static_resources": resources})
    if '"ads"' in text:
        raise AssertionError("something is still to be fetched over ADS, so Envoy would not check it")
    return text


def _messages(snapshot: Snapshot, type_url: TypeUrl) -> dict[str, Any]:
    return {
        name: json.loads(
            json.dumps(MessageToDict(unpack(type_url, one.packed), preserving_proto_field_name=True))
        )
        for name, one in snapshot.sets[type_url].by_name.items()
    }


def _static(values: Iterable[Any], routes: dict[str, Any]) -> list[Any]:
    return [_in_place(value, routes) for value in values]


def _in_place(value: Any, routes: dict[str, Any]) -> Any:
    """Put routes where they are pointed at, and let a secret be looked for among the static ones."""
    if isinstance(value, list):
        return [_in_place(one, routes) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {
        key: _in_place(one, routes) for key, one in value.items() if key not in ("sds_config", "rds", "odcds")
    }
    if "rds" in value:
        kept["route_config"] = routes[value["rds"]["route_config_name"]]
    return kept


def ask_envoy(config: str, workplace: Path) -> subprocess.CompletedProcess[str]:
    """Let Envoy check a configuration, without running it. What it thinks is on its standard error."""
    file = workplace / "envoy.json"
    file.write_text(config)
    # Without a base id, two Envoys of one machine would meet in shared memory.
    command = [find_envoy(), "--mode", "validate", "-c", file, "--use-dynamic-base-id", "-l", "warning"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
