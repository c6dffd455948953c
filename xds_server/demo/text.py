"""What the demo says: progress while it starts, then what runs where, what to try, and the way out."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from xds_server.demo.ports import LOOPBACK
from xds_server.demo.story import CATALOG_FILE, EJECTION_SECONDS, DemoService, Plan

_INDENT = "  "


class Voice:
    """Prints to the terminal, in colour where there is one; plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, text: str = "", style: str = "") -> None:
        """Print one line as it is: never wrapped, so that every command can be copied."""
        self._console.print(text, style=style or None, markup=False, highlight=False, soft_wrap=True)

    def up(self, says: str, seconds: float) -> None:
        """Say that a part is up, and how long after the start."""
        self.line(f"{seconds:5.1f} s  {says}", "green")

    def ready(self, plan: Plan, seconds: float) -> None:
        """Tell what runs where and what to try."""
        self.line()
        self.line(f"Requests are answered through Envoy, {seconds:.1f} s after the start.", "bold")
        self.line()
        for what, where in _places(plan):
            self.line(f"{_INDENT}{what:<18} {where}")
        for why, command in _tries(plan):
            self.line()
            self.line(f"{_INDENT}# {why}", "dim")
            self.line(f"{_INDENT}{command}")
        self.line()

    def way_out(self) -> None:
        """Tell how to end it."""
        self.line("Ctrl-C ends everything and leaves nothing behind.", "bold")


def _places(plan: Plan) -> Iterator[tuple[str, str]]:
    options = plan.options
    yield "Envoy", f"{LOOPBACK}:{options.port}, which leads to every service"
    yield "Envoy admin", f"http://{LOOPBACK}:{options.envoy_admin_port}"
    if plan.consul:
        yield "Consul", f"{plan.consul_url}/ui"
    else:
        yield "Catalog file", str(plan.directory / CATALOG_FILE)
    yield "xds-server xDS", f"{LOOPBACK}:{options.xds_port}"
    yield "xds-server admin", f"http://{LOOPBACK}:{options.admin_port}"
    for service in plan.services:
        yield f"{service.id}, weight {service.weight}", f"http://{LOOPBACK}:{service.port}"
    yield "Output of each", str(plan.directory)


def _tries(plan: Plan) -> Iterator[tuple[str, str]]:
    options = plan.options
    user = f"curl -s -H 'Host: user' {LOOPBACK}:{options.port}"
    first = next(service for service in plan.services if service.name == "user")
    yield "An instance of user; user-2 has three times the weight of user-1.", user
    yield "order calls user through Envoy.", f"curl -s -H 'Host: order' {LOOPBACK}:{options.port}"
    ejected = f"curl -s {LOOPBACK}:{options.envoy_admin_port}/clusters | grep -E '^user.*health_flags'"
    yield (
        f"Let {first.id} answer 503: after five failures Envoy ejects it, and only the other one answers.",
        f"curl -s -X POST {LOOPBACK}:{first.port}/fail; for i in $(seq 40); do {user}; done; {ejected}",
    )
    yield (
        f"And well again: it is back when its ejection ends, after {EJECTION_SECONDS} s.",
        f"curl -s -X POST {LOOPBACK}:{first.port}/recover",
    )
    yield _withdrawal(plan, first)
    yield "What xds-server left out, and why.", f"curl -s {LOOPBACK}:{options.admin_port}/problems"


def _withdrawal(plan: Plan, service: DemoService) -> tuple[str, str]:
    if plan.consul is None:
        return (
            "Every change of the catalog file is served when it is saved: take an instance out of it.",
            f"sed -i.old '/id: {service.id},/d' {plan.directory / CATALOG_FILE}",
        )
    return (
        f"Take {service.id} out of Consul: it is gone from Envoy at once.",
        f"curl -s -X PUT {LOOPBACK}:{plan.options.consul_port}/v1/agent/service/deregister/{service.id}",
    )


def failure(sentence: str, tail: str, directory: Path) -> str:
    """Give the text of a failed start: the sentence, the end of the culprit's output, where the rest is."""
    said = "\n".join(f"{_INDENT}| {line}" for line in tail.splitlines())
    parts = [sentence, f"Its last lines were:\n{said}" if said else "It wrote nothing."]
    return "\n".join([*parts, f"The output of every part is in {directory}"])
