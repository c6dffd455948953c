import pytest

from tests.rig.pem import Authority
from tests.rig.tls_edge import serving

pytestmark = pytest.mark.integration


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
