"""Everything at once: catalog, policy and secrets of one proxy group to all its resources.

The result depends on the inputs alone. What did not change is not made again: each part is remembered with
the very inputs it was made from, and handed out again while those are the same objects. The inputs of a part
are the only arguments of the function that makes it, so a remembered part cannot be stale.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from xds_server.model.catalog import Catalog, Service
from xds_server.model.policy import EndpointPolicy, ListenerKind, Policy, ServicePolicy
from xds_server.model.problem import Code, Problem
from xds_server.model.proxy import Group
from xds_server.model.secret import Secret, Secrets
from xds_server.model.types import TypeUrl
from xds_server.translate import clusters, endpoints, listeners, names, routes, secrets, tls
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.packing import Draft

T = TypeVar("T")
Part: TypeAlias = tuple[tuple[Draft, ...], tuple[Problem, ...]]
Key: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """All resources of a proxy group, by type, sorted by name, and all problems met on the way."""

    drafts: Mapping[TypeUrl, tuple[Draft, ...]]
    problems: tuple[Problem, ...]


class Translator:
    """Translates for one proxy group, remembering what did not change since the last call."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._memory = _Memory()

    def translate(self, catalog: Catalog, policy: Policy, material: Secrets) -> Translation:
        """Give all resources for the group; a part that cannot be made is a problem, never an exception."""
        self._memory.begin()
        secret_parts = [
            self._part(("secret", name), _secret_part, secret) for name, secret in material.by_name.items()
        ]
        available = frozenset(draft.name for drafts, _ in secret_parts for draft in drafts)
        served, refused = self._served(catalog, policy, available)
        rules = self._memory.recall(("rules",), self._rules, policy.endpoints)
        working, service_parts = self._services(catalog, served, rules)
        parts = [*secret_parts, ((), refused), *service_parts]
        parts.append(self._listeners(catalog.datacenter, working, policy, available))
        self._memory.end()
        return _collect(parts, (*catalog.problems, *material.problems))

    def _rules(self, policy: EndpointPolicy) -> EndpointRules:
        port = self._group.admin_port
        return EndpointRules(replace(policy, deny_ports=policy.deny_ports | ({port} if port else set())))

    def _served(
        self, catalog: Catalog, policy: Policy, available: frozenset[str]
    ) -> tuple[dict[str, ServicePolicy], tuple[Problem, ...]]:
        """Decide which services get a cluster."""
        served: dict[str, ServicePolicy] = {}
        problems: list[Problem] = []
        shown = [name for name in catalog.services if name not in policy.hidden_services]
        # Of twins the last in order stays, the one in small letters, which no new one in capitals displaces.
        owners = {name.lower(): name for name in shown}
        for name in shown:
            problem = _refusal(name, owners[name.lower()], policy.service(name), available)
            if problem is None:
                served[name] = policy.service(name)
            else:
                problems.append(problem)
        return served, tuple(problems)

    def _services(
        self, catalog: Catalog, served: Mapping[str, ServicePolicy], rules: EndpointRules
    ) -> tuple[Mapping[str, ServicePolicy], list[Part]]:
        """Make the parts of each service, and tell which services have all of theirs.

        One that never could be made whole is left out of all routes, or references to it would not close and
        cost every other service its listener.
        """
        working: dict[str, ServicePolicy] = {}
        parts: list[Part] = []
        for name, policy in served.items():
            pair = (
                self._part(("cluster", name), _cluster_part, name, policy),
                self._part(("endpoints", name), _endpoints_part, catalog.services[name], rules),
            )
            if all(drafts for drafts, _ in pair):
                working[name] = policy
                parts.extend(pair)
            else:
                parts.extend(((), problems) for _, problems in pair)
        return MappingProxyType(working), parts

    def _listeners(
        self,
        datacenter: str,
        served: Mapping[str, ServicePolicy],
        policy: Policy,
        available: frozenset[str],
    ) -> Part:
        view = self._memory.same(("view",), routes.Served(datacenter=datacenter, services=served))
        drafts: list[Draft] = []
        problems: list[Problem] = []
        for listener in policy.listeners:
            missing = _missing_secrets(
                tls.downstream_references(listener.tls) if listener.tls else (), available
            )
            if missing:
                problems.append(_missing(f'listener "{listener.name}"', listener.source, missing))
                continue
            made, found = self._part(("listener", listener.name), _listener_part, listener, view)
            drafts.extend(made)
            problems.extend(found)
        return tuple(drafts), tuple(problems)

    def _part(self, key: Key, make: Callable[..., Part], *inputs: Any) -> Part:
        """Make one part, or hand out the remembered one; on a bug in it, keep the last that worked."""
        try:
            return self._memory.recall(key, make, *inputs)
        except Exception as error:  # noqa: BLE001 - the firewall: one part's bug must not cost the others
            last: Part = self._memory.last(key, ((), ()))
            sentence = f"translation failed ({type(error).__name__}); the last good resources are kept"
            problem = Problem(code=Code.TRANSLATION_FAILED, source=" ".join(key), sentence=sentence)
            return last[0], (problem,)


class _Memory:
    """Remembers values with the identity of the inputs they were made from, for one generation."""

    def __init__(self) -> None:
        self._old: dict[Key, tuple[tuple[Any, ...], Any]] = {}
        self._new: dict[Key, tuple[tuple[Any, ...], Any]] = {}

    def begin(self) -> None:
        self._new = {}

    def end(self) -> None:
        self._old = self._new

    def recall(self, key: Key, make: Callable[..., T], *inputs: Any) -> T:
        """Give `make(*inputs)`, from memory if it was made from these very objects."""
        known = self._old.get(key)
        if known is not None and all(a is b for a, b in zip(known[0], inputs, strict=True)):
            self._new[key] = known
            value: T = known[1]
            return value
        value = make(*inputs)
        self._new[key] = (inputs, value)
        return value

    def last(self, key: Key, default: T) -> T:
        """Give the last remembered value of a key, and keep remembering it without its inputs."""
        known = self._old.get(key)
        if known is None:
            return default
        self._new[key] = ((object(),) * len(known[0]), known[1])
        value: T = known[1]
        return value

    def same(self, key: Key, value: T) -> T:
        """Give the remembered object if it equals `value`, so that identity can stand for equality."""
        known = self._old.get(key)
        kept: T = known[1] if known is not None and known[1] == value else value
        self._new[key] = ((), kept)
        return kept


# --- parts: each a function of exactly the inputs it is remembered by ------------------------------------


def _secret_part(secret: Secret) -> Part:
    return tuple(secrets.secrets(secret)), ()


def _cluster_part(name: str, policy: ServicePolicy) -> Part:
    return (clusters.cluster(name, policy),), ()


def _endpoints_part(service: Service, rules: EndpointRules) -> Part:
    made, problems = endpoints.assignment(service, rules)
    return (made,), problems


def _listener_part(listener: Any, served: routes.Served) -> Part:
    if listener.kind is ListenerKind.TCP:
        made, problems = listeners.tcp_listener(listener, served)
        return (made,) if made else (), problems
    route, problems = routes.route_configuration(listener, served)
    return (listeners.http_listener(listener), route), problems


# --- what is refused ---------------------------------------------------------------------------------------


def _refusal(name: str, owner: str, policy: ServicePolicy, available: frozenset[str]) -> Problem | None:
    """Say why a service gets no cluster, or None."""
    source = f'service "{name}"'
    if name in names.RESERVED_CLUSTERS:
        sentence = f'"{name}" is the name of a cluster of the bootstrap; register the service under another'
        return Problem(code=Code.SERVICE_NAME_CLASH, source=source, sentence=sentence)
    if owner != name:
        sentence = (
            f'it differs from service "{owner}" only in upper and lower case, which Consul takes for one'
        )
        return Problem(code=Code.SERVICE_NAME_CLASH, source=source, sentence=sentence)
    missing = _missing_secrets(tls.upstream_references(policy.tls) if policy.tls else (), available)
    return _missing(f'service "{name}"', source, missing) if missing else None


def _missing_secrets(references: Iterable[Any], available: frozenset[str]) -> list[str]:
    return [reference.name for reference in references if reference.name not in available]


def _missing(what: str, source: str, missing: list[str]) -> Problem:
    sentence = f"{what} needs {', '.join(missing)}, which could not be read; it is left out"
    return Problem(code=Code.SECRET_MISSING, source=source, sentence=sentence)


def _collect(parts: Iterable[Part], problems: Iterable[Problem]) -> Translation:
    by_type: dict[TypeUrl, list[Draft]] = {type_url: [] for type_url in TypeUrl}
    found = list(problems)
    for drafts, met in parts:
        for draft in drafts:
            by_type[draft.type].append(draft)
        found.extend(met)
    ordered = {
        type_url: tuple(sorted(drafts, key=lambda draft: draft.name)) for type_url, drafts in by_type.items()
    }
    return Translation(drafts=MappingProxyType(ordered), problems=tuple(sorted(set(found))))
