from typing import Any

import pytest

from tests.rig.eventually import eventually

pytestmark = pytest.mark.integration

POLLED = "xds_rest"
SUCCESSES = "cluster_manager.cds.update_success"
ATTEMPTS = "cluster_manager.cds.update_attempt"


def polling(admin_port: int) -> Any:
    """Give what makes an Envoy get its clusters and listeners by polling; the rest comes over ADS."""

    def amend(config: dict[str, Any]) -> None:
        address = {"socket_address": {"address": "127.0.0.1", "port_value": admin_port}}
        server = {
            "name": POLLED,
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": {
                "cluster_name": POLLED,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
            },
        }
        source = {
            "api_type": "REST",
            "transport_api_version": "V3",
            "cluster_names": [POLLED],
            "refresh_delay": "0.2s",
            "request_timeout": "5s",
        }
        config["static_resources"]["clusters"].append(server)
        for name in ("cds_config", "lds_config"):
            config["dynamic_resources"][name] = {"api_config_source": source, "resource_api_version": "V3"}

    return amend


@pytest.mark.shows("P-019", "T-CA-11")
async def test_an_envoy_that_polls_follows_the_catalog(delta_world, record_property):
    world = delta_world
    await world.instance("user")
    await world.start_server({"guards": {"remove_clusters_after": "0s"}})
    envoy = await world.start_envoy(amend=polling(world.server.admin_port))
    await world.serving("user", "user")

    await world.instance("order")
    await world.serving("order", "order")
    assert {"user", "order"} <= (await envoy.clusters()).keys()

    # Most polls bring nothing new, and are answered so.
    attempts, successes = await envoy.stat(ATTEMPTS), await envoy.stat(SUCCESSES)
    await eventually(lambda: envoy.stat(ATTEMPTS), lambda count: count > attempts + 5)
    assert await envoy.stat(SUCCESSES) == successes
    assert await envoy.stat(f"cluster.{POLLED}.upstream_rq_304") >= 5

    await world.consul.deregister("order")
    await eventually(envoy.clusters, lambda clusters: "order" not in clusters)
    assert (await world.get("user")).status == 200
    assert (await world.get("order")).status == 503
    await envoy.updates()
    sent = await envoy.stat(f"cluster.{POLLED}.upstream_cx_tx_bytes_total")
    record_property("bytes of a poll", sent / await envoy.stat(f"cluster.{POLLED}.upstream_rq_total"))
