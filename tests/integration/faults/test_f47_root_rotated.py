import asyncio
import base64
import ssl

import pytest

from tests.rig.eventually import eventually
from tests.rig.load import Load, ask
from tests.rig.pem import Authority
from tests.rig.ports import free_port
from tests.rig.tls_edge import HOST, replace, replace_pair, serving, showing, trusting

NAME = "payment.test"


@pytest.mark.slow
async def test_f47_root_rotated(delta_world, record_property):
    """Both roots are trusted while certificates move from one to the other: at the listener and behind it."""
    world, old, new, port = delta_world, Authority("old root"), Authority("new root"), free_port()
    folder = world.directory
    replace(folder / "ca.pem", old.pem)
    replace_pair(folder, old.pair(HOST))
    await world.instance("payment", "payment-old", tls=serving(old, NAME, folder))
    await world.start(settings(port))
    url = f"https://127.0.0.1:{port}/"
    # Clients learn of the new root before the first certificate of it is shown.
    first = showing(trusting(old, new), old, "old client", folder)
    second = showing(trusting(old, new), new, "new client", folder)
    async with Load(url, host=HOST, tls=first, fresh=True, workers=2, pause=0.01) as load:
        await load.more(20)
        assert (await ask(url, host=HOST, tls=second)).status == 0
        started = asyncio.get_running_loop().time()

        replace(folder / "ca.pem", old.pem + new.pem)
        await eventually(lambda: ask(url, host=HOST, tls=second), lambda answer: answer.status == 200)
        # What may still carry the old root only, has to have gone before certificates of the new one come.
        await trusts(world, 2)
        replace_pair(folder, new.pair(HOST))
        await world.instance("payment", "payment-new", tls=serving(new, NAME, folder))
        await load.until(lambda: load.bodies()["payment-new"] > 0)
        await world.consul.deregister("payment-old")
        await load.until(lambda: {one.body for one in load.answers[-20:]} == {"payment-new"})
        async with Load(url, host=HOST, tls=second, fresh=True, workers=2, pause=0.01) as later:
            await later.more(20)
            await load.stop()

            replace(folder / "ca.pem", new.pem)
            await trusts(world, 1)
            record_property("converged_after_s", round(asyncio.get_running_loop().time() - started, 2))
            await eventually(lambda: ask(url, host=HOST, tls=first), lambda answer: answer.status == 0)
            await world.instance("payment", "payment-newest", tls=serving(new, NAME, folder))
            await later.until(lambda: later.bodies()["payment-newest"] > 0)
            await later.more(50)
    assert not load.failures, load.failures[:3]
    assert not later.failures, later.failures[:3]
    record_property("requests", len(load.answers) + len(later.answers))
    record_property("failed", len(load.failures) + len(later.failures))
    await world.envoy.updates()


def settings(port):
    listener = {"name": "edge", "address": f"127.0.0.1:{port}", "routes": [{"service": "payment"}]}
    listener["tls"] = {"certificate": "edge-cert", "client_ca": "roots"}
    pair = {"cert_file": "edge.pem", "key_file": "edge.key"}
    return {
        "listeners": [listener],
        "services": {"payment": {"tls": {"ca": "roots", "sans": [NAME]}}},
        "secrets": {"edge-cert": pair, "roots": {"ca_file": "ca.pem"}},
    }


async def trusts(world, roots):
    """Wait until Envoy has so many roots."""

    async def count():
        dump = (await world.envoy.config_dump())["SecretsConfigDump"]
        return text_of_roots(dump).count(ssl.PEM_HEADER)

    await eventually(count, roots.__eq__, within=10.0)


def text_of_roots(dump):
    """Give the roots in a dump of secrets: inline, as text or base64."""
    found = ""
    for one in dump.get("dynamic_active_secrets", ()):
        ca = one["secret"].get("validation_context", {}).get("trusted_ca", {})
        found += ca.get("inline_string", "") + base64.b64decode(ca.get("inline_bytes", "")).decode()
    return found
