"""The metrics of the messages of each type, found once: `labels` would look for them with each message."""

import logging
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from xds_server import telemetry
from xds_server.model.proxy import Client
from xds_server.model.types import TypeUrl
from xds_server.protocol import Response
from xds_server.runtime.fleet import Session
from xds_server.telemetry import Event, log

_GRPC_RECEIVES: Final = 4 * 1024 * 1024
"""A gRPC client refuses larger messages unless it was told otherwise (P-111)."""

_TYPE_NAMES: Final = {str(type_url): type_url.short for type_url in TypeUrl}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The counters of one variant and one type."""

    requests: Any
    responses: Any
    response_bytes: Any


def type_name(type_url: str) -> str:
    """Give the short name of a type as metrics and logs have it; `other` for one that is not served."""
    return _TYPE_NAMES.get(type_url, "other")


def counted(variant: str, type_url: str) -> Counts:
    """Give the counters of a variant and a type URL; those that are not served share one."""
    return _counts(variant, type_name(type_url))


@cache
def _counts(variant: str, name: str) -> Counts:
    return Counts(
        requests=telemetry.REQUESTS.labels(variant, name),
        responses=telemetry.RESPONSES.labels(variant, name),
        response_bytes=telemetry.RESPONSE_BYTES.labels(variant, name),
    )


def count_response(variant: str, session: Session, response: Response) -> None:
    """Count a response; warn of one that a gRPC client may refuse for its size."""
    size = len(response.payload)
    counts = counted(variant, response.type)
    counts.responses.inc()
    counts.response_bytes.inc(size)
    if size > _GRPC_RECEIVES and session.proxy.group.client is Client.GRPC:
        telemetry.LARGE_RESPONSES.inc()
        name = type_name(response.type)
        log(Event.RESPONSE_LARGE, logging.WARNING, node=session.proxy.id, type=name, bytes=size)
