"""What the demo starts, in which order, and how one sees that each part is up: as a table.

Nothing here starts anything: `plan` is a pure function of the options, the ports and the binaries.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from xds_server.demo.ports import LOOPBACK, Port

SETTINGS_FILE: Final = "xds-server.yaml"
CATALOG_FILE: Final = "catalog.yaml"
BOOTSTRAP_FILE: Final = "envoy.json"
EJECTION_SECONDS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the person asked for; the ports are those that somebody types."""

    port: int = 10000
    xds_port: int = 18000
    admin_port: int = 18001
    envoy_admin_port: int = 19000
    consul_port: int = 8500
    use_consul: bool = True
    once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoService:
    """One instance of a service of the demo and where it listens."""

    name: str
    id: str
    weight: int
    port: int


# user-2 has three times the weight, so that one can see weights at work.
INSTANCES: Final = (
    ("user", "user-1", 1),
    ("user", "user-2", 3),
    ("order", "order-1", 1),
    ("order", "order-2", 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that was decided before the first process starts. `consul` is None with a catalog file."""

    options: DemoOptions
    directory: Path
    envoy: Path
    consul: Path | None
    consul_closes_grpc_tls: bool
    services: tuple[DemoService, ...]
    consul_inner_ports: tuple[int, int]

    @property
    def consul_url(self) -> str:
        """Where Consul's HTTP API answers."""
        return _url(self.options.consul_port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Up means: this URL answers 200, with `contains` in the body; `host` is the Host header."""

    url: str
    host: str = ""
    contains: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One row: started when all of `after` are up, itself up at its answer, or when it has ended with 0.

    A step without a command only waits for its answer. `output` takes the standard output of the command.
    """

    name: str
    says: str
    after: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    answer: Answer | None = None
    output: Path | None = None


def typed_ports(options: DemoOptions, *, with_consul: bool) -> tuple[Port, ...]:
    """Give the ports that must be free, each with the option that moves it."""
    ports = (
        Port(number=options.port, what="Envoy's listener", option="--port"),
        Port(number=options.xds_port, what="xDS", option="--xds-port"),
        Port(number=options.admin_port, what="xds-server's admin", option="--admin-port"),
        Port(number=options.envoy_admin_port, what="Envoy's admin", option="--envoy-admin-port"),
    )
    consul = Port(number=options.consul_port, what="Consul", option="--consul-port")
    return (*ports, consul) if with_consul else ports


def steps(plan: Plan) -> tuple[Step, ...]:
    """Give the table: each row names the rows that come before it."""
    return (*_consul(plan), *_services(plan), _server(plan), _bootstrap(plan), _envoy(plan), *_requests(plan))


def settings_text(plan: Plan) -> str:
    """Give the settings file of the demo's xds-server: nothing of it can be reached from outside.

    Nobody wants to watch an ejection for 30 s.
    """
    return f"""\
default_listener:
  address: {LOOPBACK}:{plan.options.port}
defaults:
  outlier_detection:
    consecutive_5xx: 5
    interval: 1s
    base_ejection_time: {EJECTION_SECONDS}s
"""


def catalog_text(plan: Plan) -> str:
    """Give the catalog file that stands in for Consul."""
    lines = ["services:"]
    for name in dict.fromkeys(service.name for service in plan.services):
        lines += [f"  {name}:", "    instances:"]
        for one in (service for service in plan.services if service.name == name):
            where = f"id: {one.id}, address: {LOOPBACK}, port: {one.port}"
            lines.append(f"      - {{{where}, weights: {{passing: {one.weight}}}}}")
    return "\n".join(lines) + "\n"


def _consul(plan: Plan) -> Iterator[Step]:
    if plan.consul is None:
        return
    server_port, gossip_port = plan.consul_inner_ports
    closed = "dns = -1 grpc = -1 https = -1 serf_wan = -1" + (
        " grpc_tls = -1" if plan.consul_closes_grpc_tls else ""
    )
    ports = f"http = {plan.options.consul_port} server = {server_port} serf_lan = {gossip_port} {closed}"
    yield Step(
        name="consul",
        says=f"Consul, {plan.consul_url}/ui",
        command=(
            *(str(plan.consul), "agent", "-dev", "-node", "demo"),
            *("-bind", LOOPBACK, "-client", LOOPBACK, "-log-level", "warn"),
            *("-hcl", f"ports {{ {ports} }}", "-hcl", "disable_update_check = true"),
        ),
        # The address of the leader: before there is one, a registration would be lost.
        answer=Answer(url=f"{plan.consul_url}/v1/status/leader", contains=":"),
    )


def _services(plan: Plan) -> Iterator[Step]:
    registered = ("--consul", plan.consul_url) if plan.consul else ()
    for one in plan.services:
        yield Step(
            name=one.id,
            says=f"{one.id}, weight {one.weight}, {_url(one.port)}",
            after=("consul",) if plan.consul else (),
            command=(
                *(sys.executable, "-m", "xds_server.demo.service", one.name, "--instance", one.id),
                *(
                    "--port",
                    str(one.port),
                    "--weight",
                    str(one.weight),
                    "--upstream",
                    _url(plan.options.port),
                ),
                *registered,
            ),
            answer=Answer(url=f"{_url(one.port)}/health"),
        )


def _server(plan: Plan) -> Step:
    source = (
        ("--consul", f"{LOOPBACK}:{plan.options.consul_port}") if plan.consul else ("--catalog", CATALOG_FILE)
    )
    return Step(
        name="xds-server",
        says=f"xds-server, {_url(plan.options.admin_port)}",
        after=("consul",) if plan.consul else (),
        command=(
            *(sys.executable, "-m", "xds_server", "serve", "--config", SETTINGS_FILE, *source),
            *(
                "--listen",
                f"{LOOPBACK}:{plan.options.xds_port}",
                "--admin",
                f"{LOOPBACK}:{plan.options.admin_port}",
            ),
        ),
        answer=Answer(url=f"{_url(plan.options.admin_port)}/readyz"),
    )


def _bootstrap(plan: Plan) -> Step:
    return Step(
        name="bootstrap",
        says=f"Envoy's bootstrap, {plan.directory / BOOTSTRAP_FILE}",
        command=(
            *(sys.executable, "-m", "xds_server", "bootstrap", "--id", "demo-edge", "--cluster", "edge"),
            *(
                "--xds",
                f"{LOOPBACK}:{plan.options.xds_port}",
                "--admin-port",
                str(plan.options.envoy_admin_port),
            ),
        ),
        output=plan.directory / BOOTSTRAP_FILE,
    )


def _envoy(plan: Plan) -> Step:
    return Step(
        name="envoy",
        says=f"Envoy, {_url(plan.options.port)}",
        after=("xds-server", "bootstrap"),
        # One worker, so that weights and rotation can be seen in a few requests; no hot restart, as its
        # shared memory would be one for all Envoys of the machine.
        command=(str(plan.envoy), "-c", BOOTSTRAP_FILE, "--concurrency", "1", "--disable-hot-restart"),
        answer=Answer(url=f"{_url(plan.options.envoy_admin_port)}/ready"),
    )


def _requests(plan: Plan) -> Iterator[Step]:
    for one in plan.services:
        yield Step(
            name=f"{one.id} through Envoy",
            says=f"{one.id} answered through Envoy",
            after=("envoy", one.id),
            answer=Answer(url=_url(plan.options.port), host=one.name, contains=f'"instance": "{one.id}"'),
        )


def _url(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"
