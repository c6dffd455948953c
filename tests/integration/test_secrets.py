import asyncio
import ssl

import pytest
from cryptography import x509

from tests.rig.eventually import eventually
from tests.rig.load import Load
from tests.rig.pem import Authority
from tests.rig.ports import free_port

pytestmark = pytest.mark.integration

ROTATIONS = [
    pytest.param(5, id="5 rotations"),
    pytest.param(20, id="20 rotations", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("rotations", ROTATIONS)
async def test_a_rotated_certificate_is_served_within_2_s_and_drains_nothing(
    world, rotations, record_property
):
    authority, port = Authority(), free_port()
    serial = replace_pair(world.directory, authority)
    await world.instance("user")
    listener = {"name": "edge", "address": f"127.0.0.1:{port}", "tls": {"certificate": "edge-cert"}}
    listener["routes"] = [{"service": "user"}]
    pair = {"cert_file": "edge.pem", "key_file": "edge.key"}
    await world.start({"listeners": [listener], "secrets": {"edge-cert": pair}})
    trust = trusting(authority)
    assert await served_serial(port, trust) == serial
    listeners = await listener_stats(world)
    url, waits = f"https://127.0.0.1:{port}/", []
    # New connections meet each certificate, the kept one must live through all of them.
    async with (
        Load(url, host="shop.test", tls=trust, fresh=True, workers=2) as fresh,
        Load(url, host="shop.test", tls=trust, workers=1, pause=0.01) as kept,
    ):
        for _ in range(rotations):
            await fresh.more(20)
            serial = replace_pair(world.directory, authority)
            replaced = asyncio.get_running_loop().time()
            await eventually(lambda: served_serial(port, trust), serial.__eq__, within=2.0)
            waits.append(asyncio.get_running_loop().time() - replaced)
        await fresh.more(20)
    assert not fresh.failures
    assert not kept.failures
    assert await listener_stats(world) == listeners
    await world.envoy.updates()
    record_property("slowest rotation, seconds", round(max(waits), 3))
    record_property("handshakes", len(fresh.answers))


async def test_a_broken_pair_leaves_the_old_certificate_served_and_is_a_problem(delta_world):
    world, authority, port = delta_world, Authority(), free_port()
    serial = replace_pair(world.directory, authority)
    await world.instance("user")
    listener = {"name": "edge", "address": f"127.0.0.1:{port}", "tls": {"certificate": "edge-cert"}}
    listener["routes"] = [{"service": "user"}]
    pair = {"cert_file": "edge.pem", "key_file": "edge.key"}
    await world.start({"listeners": [listener], "secrets": {"edge-cert": pair}})
    (world.directory / "edge.key").write_bytes(authority.pair()[1])
    problems = await eventually(world.server.problems)
    assert problems[0]["code"] == "secret-invalid"
    assert "edge-cert" in problems[0]["source"]
    assert await served_serial(port, trusting(authority)) == serial
    assert "PRIVATE KEY" not in world.server.process.output


async def test_upstream_tls_trusts_the_ca_and_the_name_only(world):
    authority = Authority()
    (world.directory / "ca.pem").write_bytes(authority.pem)
    good = serving(authority, "payment.test", world.directory)
    await world.instance("payment", tls=good)
    await world.instance("forged", tls=serving(authority, "other.test", world.directory))
    await world.instance("stranger", tls=serving(Authority(), "stranger.test", world.directory))
    services = {
        name: {"tls": {"ca": "internal-ca", "sans": [f"{name}.test"]}}
        for name in ("payment", "forged", "stranger")
    }
    await world.start({"services": services, "secrets": {"internal-ca": {"ca_file": "ca.pem"}}})
    assert (await world.get("payment")).body == "payment"
    for refused in ("forged", "stranger"):
        answer = await world.get(refused)
        assert answer.status == 503
        assert "connection failure" in answer.body
    assert await world.envoy.stat("cluster.forged.ssl.fail_verify_san")
    assert await world.envoy.stat("cluster.stranger.ssl.fail_verify_error")
    await world.envoy.updates()


def replace_pair(folder, authority):
    """Put a new pair in place, the certificate first, each as one step; give its serial number."""
    pair = authority.pair("shop.test")
    for name, data in zip(("edge.pem", "edge.key"), pair, strict=True):
        (folder / "fresh").write_bytes(data)
        (folder / "fresh").replace(folder / name)
    return x509.load_pem_x509_certificate(pair[0]).serial_number


def trusting(authority):
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.check_hostname = False
    return context


def serving(authority, name, folder):
    certificate, key = authority.pair(name)
    (folder / name).write_bytes(certificate + key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / name)
    return context


async def served_serial(port, trust):
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
    try:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
        await writer.wait_closed()
    return x509.load_der_x509_certificate(der).serial_number


async def listener_stats(world):
    names = "lds.update_success|listener_added|listener_modified|listener_in_place_updated|draining"
    return await world.envoy.stats(f"^listener_manager.*({names})")
