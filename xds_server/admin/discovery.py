"""Discovery over REST-JSON, for clients that poll: `POST /v3/discovery:clusters` and its like (P-019)."""

import asyncio
import json
from functools import lru_cache
from typing import Any, Final

from aiohttp import web
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from google.protobuf.json_format import MessageToJson, ParseDict, ParseError

from xds_server.model.types import TypeUrl
from xds_server.protocol import ProtocolError
from xds_server.protocol.node import NodeError, proxy_of
from xds_server.protocol.rest import fetch
from xds_server.runtime.pipeline import Pipeline, TooManyKindsError

PATH: Final = "/v3/discovery:{type}"

# Envoy API, the HTTP rules of the Fetch methods in `envoy/service/*/v3/*.proto`.
_TYPES: Final = {
    "clusters": TypeUrl.CLUSTER,
    "endpoints": TypeUrl.ENDPOINTS,
    "listeners": TypeUrl.LISTENER,
    "routes": TypeUrl.ROUTES,
    "scoped-routes": TypeUrl.SCOPED_ROUTES,
    "secrets": TypeUrl.SECRET,
    "runtime": TypeUrl.RUNTIME,
    "extension_configs": TypeUrl.EXTENSION,
}

MAX_BODY: Final = 1024 * 1024
"""Bytes of a request; that of an Envoy is about 78 kB, nearly all of it the names of its extensions."""

_MOST_OF_AN_ERROR: Final = 300

_PATIENCE: Final = 10.0
"""Seconds a poll waits for what it asks for to be made."""


class Discovery:
    """Answers polls from what streams of the same kind of client are served."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def post(self, request: web.Request) -> web.Response:
        """Answer one poll: 200 with a DiscoveryResponse, or 304 where the client has everything."""
        type_url = _TYPES.get(request.match_info["type"])
        if type_url is None:
            return _refusal(404, f"there is no such type; there are {', '.join(_TYPES)}")
        if type_url is TypeUrl.SECRET:
            sentence = "secrets are not served here, as nobody is asked who they are; get them over gRPC"
            return _refusal(403, sentence)
        try:
            answer = await self._answer(_parse(await request.read()), type_url)
        except (ProtocolError, NodeError) as error:
            return _refusal(400, str(error))
        except TooManyKindsError:
            return _refusal(503, "too many kinds of clients are connected to this server; try another")
        except _NotReadyError:
            return _refusal(503, "the catalog was not read yet; try again, or another server")
        if answer is None:
            return web.Response(status=304)
        # Thousands of resources take a second or more to write as JSON.
        body = await asyncio.to_thread(_json, _Answer(answer))
        return web.Response(body=body, content_type="application/json")

    async def _answer(self, request: DiscoveryRequest, type_url: TypeUrl) -> DiscoveryResponse | None:
        proxy = proxy_of(request.node, delta=False)
        if not self._pipeline.ready:
            raise _NotReadyError
        try:
            with self._pipeline.join(proxy):
                snapshot = await asyncio.wait_for(self._pipeline.newest(proxy), _PATIENCE)
        except TimeoutError:
            raise _NotReadyError from None
        return fetch(snapshot, request, type_url, proxy.group.client)


class _NotReadyError(Exception):
    """There is nothing to serve yet."""


class _Answer:
    """A response that is the same as another of its type and version: those say what is in it."""

    def __init__(self, response: DiscoveryResponse) -> None:
        self.response = response
        self._key = (response.type_url, response.version_info)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Answer) and self._key == other._key


@lru_cache(maxsize=8)
def _json(answer: _Answer) -> bytes:
    """Write a response as JSON. A fleet that polls asks for the same few, after each change."""
    text: str = MessageToJson(answer.response, preserving_proto_field_name=True, indent=None)
    return text.encode()


def _parse(body: bytes) -> DiscoveryRequest:
    """Read a request. Raises ProtocolError with a sentence about what is wrong with it."""
    try:
        given: Any = json.loads(body)
        if not isinstance(given, dict) or not isinstance(given.get("node", {}), dict):
            raise TypeError("it, and its node, have to be objects")  # noqa: TRY301 - one way out
        if "node" in given:
            # Nobody reads them, and the JSON reader of protobuf would take longer for them than for all else.
            given["node"].pop("extensions", None)
        return ParseDict(given, DiscoveryRequest(), ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error)[:_MOST_OF_AN_ERROR]
        raise ProtocolError(f"the body is not a DiscoveryRequest in JSON: {reason}") from None


def _refusal(status: int, sentence: str) -> web.Response:
    return web.Response(status=status, text=f"{sentence}\n")
