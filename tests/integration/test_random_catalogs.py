"""Random catalogs, good and hostile values mixed: Envoy rejects nothing, and what is valid is served."""

import asyncio
import operator
from dataclasses import replace

import pytest

from tests.rig.envoy import Envoy
from tests.rig.eventually import eventually
from tests.rig.ports import free_port
from tests.rig.random_catalogs import POLICY, Drawing, Drawn
from tests.runtime.inputs import Inputs
from tests.transport.serving import serving
from xds_server.model.policy import DEFAULT_LISTENER
from xds_server.model.problem import Code
from xds_server.translate.names import BY_NAME, CATCH_ALL

pytestmark = pytest.mark.integration

ROUTES_EVERY = 10
"""Routes are read from a dump of Envoy's configuration, which takes its time."""

NET = {Code.RESOURCE_INVALID, Code.ENDPOINT_INVALID, Code.REFERENCE_MISSING, Code.TRANSLATION_FAILED}
"""What is only found where translation let something pass."""


@pytest.mark.parametrize("mode", ["delta", "sotw"])
async def test_envoy_takes_some_random_catalogs(mode, tmp_path, record_property):
    await run(mode, tmp_path, 1, 25, record_property)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(2, 6))
@pytest.mark.parametrize("mode", ["delta", "sotw"])
async def test_envoy_takes_two_thousand_random_catalogs(mode, seed, tmp_path, record_property):
    await run(mode, tmp_path, seed, 250, record_property)


async def run(mode, folder, seed, count, record):
    inputs = Inputs()
    listener = replace(DEFAULT_LISTENER, address="127.0.0.1", port=free_port())
    inputs.policy.publish(replace(POLICY, listeners=(listener,)))
    drawing = Drawing(seed)
    async with serving(inputs) as served:
        inputs.catalog.publish(drawing.draw().catalog)
        async with Envoy(folder, servers=[("127.0.0.1", served.port)], mode=mode) as envoy:
            for number in range(count):
                drawn = drawing.draw()
                inputs.catalog.publish(drawn.catalog)
                try:
                    await eventually(
                        lambda one=drawn: lacking(envoy, one), operator.not_, within=30.0, every=0.01
                    )
                    if number % ROUTES_EVERY == 0:
                        await eventually(
                            lambda one=drawn: unrouted(envoy, one), operator.not_, within=30.0, every=0.05
                        )
                    await envoy.updates()
                    found = [one for one in inputs.pipeline.problems if one.code in NET]
                    assert not found, found
                except AssertionError as error:
                    raise AssertionError(f"catalog {number} of seed {seed}: {error}") from error
            await asyncio.sleep(0.5)
            await envoy.updates()
    record("catalogs", count)


async def lacking(envoy: Envoy, drawn: Drawn) -> dict:
    """Give the clusters that are not as they have to be: what Envoy has, and what it should."""
    clusters = await envoy.clusters()
    found = {
        name: (sorted(clusters[name]) if name in clusters else None, sorted(hosts))
        for name, hosts in drawn.clusters.items()
        if name not in clusters or clusters[name].keys() != hosts
    }
    return found | {name: (None, []) for name in drawn.at_least if name not in clusters}


async def unrouted(envoy: Envoy, drawn: Drawn) -> list[str]:
    """Give the services that no route configuration has a domain for, nor finds by their name."""
    dumped = (await envoy.config_dump())["RoutesConfigDump"]["dynamic_route_configs"]
    hosts = {host["name"]: host["domains"] for one in dumped for host in one["route_config"]["virtual_hosts"]}
    refused = hosts.pop(CATCH_ALL, [])
    own = {domain for domains in hosts.values() for domain in domains}
    found = [(name, f"{name.lower()}.service.consul") for name in drawn.routed]
    return [
        name
        for name, domain in found
        if domain in refused or not (domain in own or (BY_NAME in hosts and name == name.lower()))
    ]
