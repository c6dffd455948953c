"""What is left out before anything of it is made, and why."""

from collections.abc import Iterable

from xds_server.model.policy import Listener, ServicePolicy
from xds_server.model.problem import Code, Problem
from xds_server.translate import names, tls
from xds_server.translate.packing import Reference


def refused_service(
    name: str, owner: str, policy: ServicePolicy, available: frozenset[str]
) -> Problem | None:
    """Say why a service gets no cluster, or None.

    `owner` is the service that has the name if upper and lower case are one; `available` are the names of
    the secrets that could be read.
    """
    source = f'service "{name}"'
    if name in names.RESERVED_CLUSTERS:
        sentence = f'"{name}" is the name of a cluster of the bootstrap; register the service under another'
        return Problem(code=Code.SERVICE_NAME_CLASH, source=source, sentence=sentence)
    if owner != name:
        sentence = (
            f'it differs from service "{owner}" only in upper and lower case, which Consul takes for one'
        )
        return Problem(code=Code.SERVICE_NAME_CLASH, source=source, sentence=sentence)
    needed = tls.upstream_references(policy.tls) if policy.tls else ()
    return _missing(source, source, needed, available)


def refused_listener(listener: Listener, available: frozenset[str]) -> Problem | None:
    """Say why a listener is left out, or None."""
    needed = tls.downstream_references(listener.tls) if listener.tls else ()
    return _missing(f'listener "{listener.name}"', listener.source, needed, available)


def _missing(
    what: str, source: str, needed: Iterable[Reference], available: frozenset[str]
) -> Problem | None:
    missing = [reference.name for reference in needed if reference.name not in available]
    if not missing:
        return None
    sentence = f"{what} needs {', '.join(missing)}, which could not be read; it is left out"
    return Problem(code=Code.SECRET_MISSING, source=source, sentence=sentence)
