"""What comes of Consul's answers: from JSON to the snapshot of a kind of clients, without any I/O."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.health_check_pb2 import HealthStatus
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.route.v3.route_pb2 import RouteConfiguration

from tests.bad_inputs.case import Rows
from tests.consul.fake_consul import row
from xds_server.consul.decode import choose_names, decode_service, decode_services
from xds_server.model.catalog import Catalog
from xds_server.model.policy import Policy
from xds_server.model.problem import Problem
from xds_server.model.proxy import Client, Group
from xds_server.model.secret import Secrets
from xds_server.model.types import TypeUrl
from xds_server.settings import load
from xds_server.snapshot import EMPTY, Snapshot, build
from xds_server.translate import Translator
from xds_server.translate.render import unpack

GOOD = "good"
ENVOY = Group(on_demand=True, admin_port=9901)
GRPC = Group(client=Client.GRPC)
_GOOD_ROWS = [row(GOOD, id=f"good-{n}", Address=f"10.1.0.{n}", Tags=["v1"]) for n in (1, 2)]
_SETTINGS = 'consul: {address: "http://10.0.0.1:8500"}\n'
"""Consul is on another machine, so loopback is nobody's address."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The snapshot, and its problems."""

    snapshot: Snapshot

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.snapshot.problems

    @property
    def served(self) -> dict[str, tuple[str, ...]]:
        """Give the endpoints of every cluster but the good one, as `Case.served` has them."""
        return {name: self._endpoints(name) for name in self.names(TypeUrl.CLUSTER) if name != GOOD}

    @property
    def good(self) -> dict[str, bytes]:
        """Give the bytes of all that the good service is made of."""
        found = {
            f"{type_url.short} {name}": one.packed
            for type_url in TypeUrl
            for name, one in self.snapshot.sets[type_url].by_name.items()
            if name == GOOD or name.endswith(f"/{GOOD}")
        }
        for name, one in self.snapshot.sets[TypeUrl.ROUTES].by_name.items():
            routes = unpack(TypeUrl.ROUTES, one.packed)
            assert isinstance(routes, RouteConfiguration)
            for host in routes.virtual_hosts:
                if host.name == GOOD:
                    found[f"{name} virtual host"] = host.SerializeToString(deterministic=True)
        return found

    def names(self, type_url: TypeUrl) -> list[str]:
        return list(self.snapshot.sets[type_url].by_name)

    def text(self) -> str:
        """Give all that is served and told, each line of it after a line break."""
        served = [
            one.packed.decode("latin-1")
            for found in self.snapshot.sets.values()
            for one in found.by_name.values()
        ]
        told = [f"{problem.source}\n{problem.sentence}" for problem in self.problems]
        return "\n".join(["", *served, *told])

    def _endpoints(self, name: str) -> tuple[str, ...]:
        cluster = unpack(TypeUrl.CLUSTER, self.snapshot.sets[TypeUrl.CLUSTER].by_name[name].packed)
        assert isinstance(cluster, Cluster)
        assignment = cluster.load_assignment
        if cluster.type == Cluster.EDS:
            packed = self.snapshot.sets[TypeUrl.ENDPOINTS].by_name[name].packed
            unpacked = unpack(TypeUrl.ENDPOINTS, packed)
            assert isinstance(unpacked, ClusterLoadAssignment)
            assignment = unpacked
        found = []
        for locality in assignment.endpoints:
            for one in locality.lb_endpoints:
                socket = one.endpoint.address.socket_address
                words = [f"{socket.address}:{socket.port_value}"]
                if one.health_status != HealthStatus.HEALTHY:
                    words.append(HealthStatus.Name(one.health_status))
                if one.load_balancing_weight.value != 1:
                    words.append(f"weight {one.load_balancing_weight.value}")
                found.append(" ".join(words))
        return tuple(sorted(found))


def policy_of(text: str, folder: Path) -> Policy:
    """Give the policy of a settings file."""
    file = folder / "settings.yaml"
    file.write_text(_SETTINGS + text)
    return load(flags={}, environ={}, file=file).policy


def catalog_of(listed: Mapping[str, Rows], policy: Policy) -> Catalog:
    """Decode what Consul answers: the list of services, and the rows of each that may be asked for."""
    everything = {**listed, GOOD: _GOOD_ROWS}
    body = json.dumps({name: [] for name in everything}).encode()
    names, problems = choose_names(decode_services(body), policy.hidden_services)
    answers = [decode_service(name, json.dumps(everything[name]).encode(), "dc1") for name in sorted(names)]
    told = [problem for answer in answers for problem in answer.problems]
    return Catalog.of("dc1", [answer.service for answer in answers if not answer.proxied], [*problems, *told])


def outcome(listed: Mapping[str, Rows], policy: Policy, group: Group = ENVOY) -> Outcome:
    """Give what comes of services and their rows, beside a good service."""
    translation = Translator(group).translate(catalog_of(listed, policy), policy, Secrets())
    return Outcome(snapshot=build(translation.drafts, translation.problems, EMPTY, translation.derived))
