from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from xds_server.demo.story import (
    CATALOG_FILE,
    INSTANCES,
    SETTINGS_FILE,
    DemoOptions,
    DemoService,
    Plan,
    catalog_text,
    settings_text,
    steps,
    typed_ports,
)
from xds_server.files.catalog import read_catalog
from xds_server.settings import load


def plan_of(directory, **options):
    with_consul = options.pop("consul", True)
    return Plan(
        options=DemoOptions(**options),
        directory=directory,
        envoy=Path("/bin/envoy"),
        consul=Path("/bin/consul") if with_consul else None,
        consul_closes_grpc_tls=False,
        services=tuple(
            DemoService(name=name, id=instance, weight=weight, port=40000 + place)
            for place, (name, instance, weight) in enumerate(INSTANCES)
        ),
        consul_inner_ports=(40100, 40101),
    )


@pytest.mark.parametrize("consul", [True, False])
def test_every_step_can_be_reached(tmp_path, consul):
    table = steps(plan_of(tmp_path, consul=consul))
    after = {step.name: set(step.after) for step in table}
    assert set().union(*after.values()) <= set(after)
    assert len(after) == len(table)
    order = list(TopologicalSorter(after).static_order())
    assert order.index("envoy") > order.index("xds-server")


def test_every_step_ends_in_a_fact(tmp_path):
    for step in steps(plan_of(tmp_path)):
        assert step.answer or step.output, step.name


def test_every_command_begins_with_an_absolute_path(tmp_path):
    for step in steps(plan_of(tmp_path)):
        assert not step.command or step.command[0].startswith("/"), step.name


def test_without_consul_nothing_asks_for_it(tmp_path):
    table = steps(plan_of(tmp_path, consul=False, consul_port=8599))
    assert not [step.name for step in table if "8599" in " ".join(step.command)]
    (server,) = (step for step in table if step.name == "xds-server")
    assert server.command[-6:-4] == ("--catalog", CATALOG_FILE)


def test_only_ports_that_are_used_have_to_be_free():
    options = DemoOptions(port=1, xds_port=2, admin_port=3, envoy_admin_port=4, consul_port=5)
    assert [port.number for port in typed_ports(options, with_consul=True)] == [1, 2, 3, 4, 5]
    assert [port.number for port in typed_ports(options, with_consul=False)] == [1, 2, 3, 4]


def test_a_newer_consul_is_told_to_leave_its_tls_port_closed(tmp_path):
    plan = plan_of(tmp_path)
    assert "grpc_tls" not in " ".join(steps(plan)[0].command)
    newer = type(plan)(
        **{name: getattr(plan, name) for name in plan.__slots__} | {"consul_closes_grpc_tls": True}
    )
    assert "grpc_tls = -1" in " ".join(steps(newer)[0].command)


def test_the_catalog_file_holds_the_services(tmp_path):
    plan = plan_of(tmp_path, consul=False)
    (tmp_path / CATALOG_FILE).write_text(catalog_text(plan))
    catalog = read_catalog(tmp_path / CATALOG_FILE)
    held = {
        (name, one.id, one.weights.passing, one.port)
        for name, service in catalog.services.items()
        for one in service.instances
    }
    assert held == {(one.name, one.id, one.weight, one.port) for one in plan.services}
    assert catalog.problems == ()


def test_the_settings_file_keeps_envoy_on_loopback(tmp_path):
    (tmp_path / SETTINGS_FILE).write_text(settings_text(plan_of(tmp_path, port=10123)))
    settings = load(flags={}, environ={}, file=tmp_path / SETTINGS_FILE)
    (listener,) = settings.policy.listeners
    assert (listener.address, listener.port) == ("127.0.0.1", 10123)
