"""Keys and tokens of a whole server show nowhere: not in its log, its pages, or what it leaves on disk."""

import base64

import aiohttp
import pytest

from tests.consul.fake_consul import LIST, FakeConsul, Reply, row
from tests.protocol.resources import SDS
from tests.rig.eventually import eventually
from tests.rig.pem import Authority
from tests.rig.server import XdsServer
from tests.transport.ads_client import AdsClient

CONSUL_TOKEN = "0c0ffee0-dead-4bad-8bad-canary00feed"
ADMIN_TOKEN = "canary-of-the-admin-token-f00d"
PAGES = (
    "/healthz",
    "/readyz",
    "/readyz?verbose",
    "/state",
    "/metrics",
    "/problems",
    "/load",
    "/control/history",
)


def secret_file(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


class Canaries:
    """What must not show, as it is and as it may be written by somebody who does not know what it is."""

    def __init__(self, key: bytes) -> None:
        body = [line for line in key.splitlines() if not line.startswith(b"-")]
        whole = base64.b64decode(b"".join(body))
        self._forms = [*(line for line in body if len(line) > 30), whole[40:60], whole[40:60].hex().encode()]
        for token in (CONSUL_TOKEN, ADMIN_TOKEN):
            plain = token.encode()
            self._forms += [plain, plain.hex().encode(), base64.b64encode(plain)[:-4]]

    def shown_in(self, raw: bytes) -> list[bytes]:
        return [form for form in self._forms if form in raw]


@pytest.fixture
async def consul():
    async with FakeConsul() as fake:
        fake.put("user", row("user", port=8001))
        yield fake


async def test_no_key_and_no_token_shows_anywhere(tmp_path, consul):
    cert, key = Authority().pair()
    canaries = Canaries(key)
    (tmp_path / "edge.crt").write_bytes(cert)
    (tmp_path / "edge.key").write_bytes(key)
    state = tmp_path / "state"
    server = XdsServer(
        tmp_path,
        ("--consul", consul.address),
        {
            "consul": {"token_file": secret_file(tmp_path / "consul-token", CONSUL_TOKEN)},
            "secrets": {"edge": {"cert_file": "edge.crt", "key_file": "edge.key"}},
            "admin": {
                "socket": str(tmp_path / "admin.sock"),
                "token_file": secret_file(tmp_path / "admin-token", ADMIN_TOKEN),
            },
            "state_dir": str(state),
            "listeners": [
                {
                    "name": "edge",
                    "address": "127.0.0.1:10443",
                    "tls": {"certificate": "edge"},
                    "all_services": True,
                }
            ],
        },
    )
    seen = []
    async with server:
        for variant in ("delta", "sotw"):
            async with AdsClient(server.port, variant) as client:
                await client.subscribe(SDS, "edge").expect(SDS, "edge")
                assert canaries.shown_in(b"".join(one.SerializeToString() for one in client.received))
                await client.nack(SDS, f"no good: {key.decode()[-60:-40]}").expect_nothing()
        consul.always(LIST, Reply(status=403, body=f"token {CONSUL_TOKEN} is not known"))
        consul.wake()
        await eventually(lambda: server.text("/state"), lambda text: "403" in text)
        seen += await act(server)
        (tmp_path / "edge.key").write_bytes(key[:150] + key[160:])
        await eventually(server.problems, lambda found: any(one["code"] == "secret-invalid" for one in found))
        await eventually(lambda: list(state.rglob("*")))
        seen += [(await server.text(path)).encode() for path in PAGES]
        await server.process.end()
    async with server:
        seen += [(await server.text(path)).encode() for path in PAGES]
        await server.kill()
    left = [path for path in state.rglob("*") if path.is_file()]
    seen += [path.read_bytes() for path in left]
    seen.append(server.process.output.encode())

    assert any("last-good" in path.name for path in left)
    assert all(oct(path.stat().st_mode & 0o777) == "0o600" for path in left)
    assert server.events("stream.opened")
    for raw in seen:
        assert canaries.shown_in(raw) == [], raw[:2000]


async def act(server):
    """Act as an operator does who has the token, and as one who has not; give what was answered."""
    answers = []
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.admin_port}") as session:
        for token in (ADMIN_TOKEN, f"{ADMIN_TOKEN}x"):
            for path, body in (
                ("/control/freeze", {"reason": "canary"}),
                ("/control/thaw", {}),
                ("/control/accept", {"all": True}),
                ("/control/rollback", {"number": 10**9}),
            ):
                headers = {"Authorization": f"Bearer {token}"}
                async with session.post(path, json=body, headers=headers) as answer:
                    assert answer.status in (200, 403, 409)
                    answers.append(await answer.read())
    return answers
