"""What tests ask of a Consul agent and tell it, over its HTTP API."""

import json
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

_TIMEOUT = 30.0


class ConsulApi:
    """One agent's HTTP API, between `open` and `close`; `token` goes with every call.

    With `tls` it is spoken over TLS to the name `server_name`.
    """

    def __init__(
        self, *, token: str | None = None, tls: ssl.SSLContext | None = None, server_name: str | None = None
    ) -> None:
        self.http_port: int | None = None
        self._headers = {"X-Consul-Token": token} if token else {}
        self._tls = tls
        self._server_name = server_name
        self._session: aiohttp.ClientSession | None = None

    @property
    def address(self) -> str:
        """The agent's HTTP address, e.g. `http://127.0.0.1:41234`."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.http_port}"

    def open(self) -> None:
        """Begin; doing it twice is harmless."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers, trust_env=False, timeout=aiohttp.ClientTimeout(total=_TIMEOUT)
            )

    async def close(self) -> None:
        """End; doing it twice is harmless."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def put(self, path: str, body: Any = None) -> Any:
        """PUT JSON (bytes and text as they are); give the JSON or text answer, raise on an error."""
        return _value(await self._call("PUT", path, body))

    async def get(self, path: str) -> Any:
        """GET a path; give the JSON or text answer, raise on an error."""
        return _value(await self.read(path))

    async def read(self, path: str) -> bytes:
        """GET a path; give the body as it is, e.g. that of `/v1/snapshot`."""
        return await self._call("GET", path, None)

    async def delete(self, path: str) -> None:
        """DELETE a path, e.g. a token."""
        await self._call("DELETE", path, None)

    async def register(  # noqa: PLR0913 - the fields of a registration
        self,
        name: str,
        *,
        port: int,
        id: str | None = None,  # noqa: A002 - Consul's own word
        address: str = "127.0.0.1",
        weights: tuple[int, int] | None = None,
        tags: Sequence[str] = (),
        meta: Mapping[str, str] | None = None,
        status: str | None = None,
    ) -> str:
        """Register an instance through the agent and give its id (`<name>-<port>` if none is given).

        `weights` is (passing, warning). With `status` it gets a TTL check in that status, which
        `set_status` changes.
        """
        service_id = f"{name}-{port}" if id is None else id
        body: dict[str, Any] = {
            "Name": name,
            "ID": service_id,
            "Address": address,
            "Port": port,
            "Tags": list(tags),
            "Meta": dict(meta or {}),
        }
        if weights is not None:
            body["Weights"] = {"Passing": weights[0], "Warning": weights[1]}
        if status is not None:
            body["Check"] = {"TTL": "1h", "Status": status}
        await self.put("/v1/agent/service/register", body)
        return service_id

    async def deregister(self, service_id: str) -> None:
        """Take an instance away again."""
        await self.put(f"/v1/agent/service/deregister/{service_id}")

    async def set_status(self, service_id: str, status: str, output: str = "") -> None:
        """Set the TTL check of an instance to `passing`, `warning` or `critical`."""
        await self.put(f"/v1/agent/check/update/service:{service_id}", {"Status": status, "Output": output})

    async def _call(self, method: str, path: str, body: Any) -> bytes:
        assert self._session is not None, "the agent is not running"
        data = None if body is None else body if isinstance(body, bytes | str) else json.dumps(body)
        url = self.address + path
        async with self._session.request(
            method, url, data=data, ssl=self._tls or True, server_hostname=self._server_name
        ) as answer:
            said = await answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{method} {path}: {answer.status} {said[:300].decode(errors='replace')}")
        return said


def _value(body: bytes) -> Any:
    text = body.decode()
    try:
        return json.loads(text)
    except ValueError:
        return text
