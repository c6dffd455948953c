"""One resource against the rules that Envoy itself holds it to."""

from dataclasses import dataclass, replace
from typing import Any, Final

from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message

from xds_server.model.types import TypeUrl
from xds_server.snapshot.check.endpoints import assignment_faults, without_bad_endpoints
from xds_server.snapshot.check.fields import broken, message_class
from xds_server.snapshot.check.limits import too_large
from xds_server.snapshot.check.meaning import claims, meaning_faults
from xds_server.snapshot.check.quick import is_plainly_good
from xds_server.snapshot.check.routes import routes_faults, without_bad_hosts
from xds_server.snapshot.check.rules import shown
from xds_server.snapshot.check.text import few, told
from xds_server.translate.packing import Draft, draft

_NAMED_BY: Final = {TypeUrl.ENDPOINTS: "cluster_name"}
"""The field that names a resource, where that is not `name`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What is left of a draft: itself, a repaired one, or None where it cannot be served.

    `complaints` are sentences about what was wrong, one for each thing; `claims` what it takes that no other
    resource of its type may take too.
    """

    draft: Draft | None
    complaints: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()


def check(made: Draft, served: bytes | None = None) -> Checked:
    """Check a draft by itself. `served` is what is served under its name now, a serialised `Any`."""
    if complaint := too_large(made.type, made.name, len(made.packed)):
        return Checked(draft=None, complaints=(complaint,))
    if is_plainly_good(made):
        return Checked(draft=made)
    message = _message(made.type, made.packed)
    if message is None:
        return _refused("it is not a message of its type.")
    name = getattr(message, _NAMED_BY.get(made.type, "name"))
    if name != made.name:
        return _refused(f"it says that its name is {shown(name)}.")
    if isinstance(message, ClusterLoadAssignment):
        return _checked_assignment(made, message)
    if isinstance(message, RouteConfiguration):
        return _checked_routes(made, message, served)
    faults = _faults(made.type, message)
    return _refused(*faults) if faults else Checked(draft=made, claims=claims(made.type, message))


def _faults(type_url: TypeUrl, message: Any) -> tuple[str, ...]:
    by_fields = told(broken(message), hidden=type_url is TypeUrl.SECRET)
    return by_fields or tuple(meaning_faults(type_url, message))


def _checked_assignment(made: Draft, message: ClusterLoadAssignment) -> Checked:
    """None where no endpoint is left of some: that is no service without instances, but a mistake."""
    left_out = without_bad_endpoints(message)
    if faults := few(assignment_faults(message)):
        return _refused(*faults)
    if not left_out:
        return Checked(draft=made)
    if not any(locality.lb_endpoints for locality in message.endpoints):
        return _refused(*left_out)
    return Checked(draft=_repaired(made, message), complaints=few(left_out))


def _checked_routes(made: Draft, message: RouteConfiguration, served: bytes | None) -> Checked:
    """All services of a listener share one, so a bad virtual host must not cost the others theirs."""
    last = None if served is None else _message(made.type, served)
    clusters = frozenset(one.name for one in made.references if one.type is TypeUrl.CLUSTER)
    withheld = without_bad_hosts(message, last, clusters)
    if faults := few(routes_faults(message)):
        return _refused(*faults)
    return Checked(draft=_repaired(made, message) if withheld else made, complaints=withheld)


def _repaired(made: Draft, message: Message) -> Draft:
    """Give a draft with another content."""
    packed = draft(made.type, made.name, message, made.references)
    return replace(packed, on_demand=made.on_demand, ttl=made.ttl)


def _refused(*complaints: str) -> Checked:
    return Checked(draft=None, complaints=few(complaints))


def _message(type_url: TypeUrl, content: bytes) -> Any | None:
    """Give the message that is in a serialised `Any`, or None where it is none of that type."""
    known = message_class(type_url)
    try:
        packed = AnyMessage.FromString(content)
        if packed.type_url != type_url or known is None:
            return None
        return known.FromString(packed.value)
    except DecodeError:
        return None
