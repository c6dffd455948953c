import pytest
import yaml
from aiohttp import ClientSession, web

from tests.rig.envoy import Envoy
from tests.rig.eventually import eventually
from tests.rig.ports import free_port
from tests.rig.server import XdsServer


class OnOneAddress(XdsServer):
    """A server whose every port is on one address."""

    host = ""

    def command(self):
        return [word.replace("127.0.0.1:", f"{self.host}:") for word in super().command()]

    async def status(self, path):
        async with ClientSession() as session, session.get(self._url(path)) as answer:
            return answer.status

    def _url(self, path):
        return f"http://{self.host}:{self.admin_port}{path}"


@pytest.mark.slow
@pytest.mark.parametrize("address", ["::1", "127.0.0.1"])
async def test_f52_one_family(tmp_path, address, record_property):
    """Everything is on one address of one family: server, listener, endpoint, and what asks them."""
    host = f"[{address}]" if ":" in address else address
    async with ClientSession() as session, runner(address) as port:
        listener = free_port()
        instances = [{"address": address, "port": port}]
        catalog = {"datacenter": "dc1", "services": {"user": {"instances": instances}}}
        (tmp_path / "catalog.yaml").write_text(yaml.safe_dump(catalog))
        settings = {"default_listener": {"address": f"{host}:{listener}"}}
        server = OnOneAddress(tmp_path, ("--catalog", str(tmp_path / "catalog.yaml")), settings)
        server.host = host
        async with server, Envoy(tmp_path, servers=[(address, server.port)], mode="delta"):
            statuses = []
            for _ in range(100):
                async with session.get(f"http://{host}:{listener}/", headers={"Host": "user"}) as answer:
                    statuses.append(answer.status)
            assert statuses == [200] * 100
            catalog["services"]["order"] = {"instances": [dict(one) for one in instances]}
            (tmp_path / "catalog.yaml").write_text(yaml.safe_dump(catalog))

            async def answers():
                headers = {"Host": "order"}
                async with session.get(f"http://{host}:{listener}/", headers=headers) as answer:
                    return answer.status

            await eventually(answers, (200).__eq__, within=10.0)
        record_property("requests", len(statuses))
        record_property("failed", 0)


class runner:  # noqa: N801 - used like a function
    """A server on any port of an address that answers everything by 200; gives the port."""

    def __init__(self, address):
        self._address = address

    async def __aenter__(self):
        async def answer(_):
            return web.Response(text="ok")

        application = web.Application()
        application.router.add_get("/", answer)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._address, 0)
        await site.start()
        return self._runner.addresses[0][1]

    async def __aexit__(self, *_):
        await self._runner.cleanup()
